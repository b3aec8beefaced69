"""What went wrong, row by row: the side-by-side table, confusions, field and function errors.

Works from predictions and test rows alone; a row is right where its deciding metric is 1.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rung.records import Answer, Example, Task
from rung.report.numbers import clean, one_line

Answers = Mapping[str, Sequence[Answer]]
NO_ANSWER = "(no answer)"
OTHER = "(other)"
MOST_LABELS = 12  # labels of a confusion matrix that get a line of their own
MOST_ERRORS = 12  # lines of a list of errors
_FREE_TEXT = ("translation", "generation")  # tasks where an exact match says little
TEXT_CAP = 2000  # characters of a prompt or an answer that the page carries
ROW_CAP = 2000  # test rows that the page carries


@dataclass(frozen=True, slots=True)
class Decider:
    """The metric that says of a single row whether it is right. `binary`: it is always 0 or 1."""

    name: str
    binary: bool

    def value(self, answer: Answer) -> float | None:
        """The row's value; ``None`` where the grader failed; 0 where nothing could be graded."""
        if answer.status == "error":
            return None
        return answer.values.get(self.name, None if answer.status == "ok" else 0.0)


def decider(task: Task, answers: Answers) -> Decider | None:
    """The first of the task's metrics that rows have: for labels, fields and calls the first that is 0 or 1
    on every row, if there is one."""
    graded = [answer for rows in answers.values() for answer in rows if answer.status != "error"]
    known = {name for answer in graded for name in answer.values}
    names = [name for name in task.metrics if name in known]
    binary = [n for n in names if all(answer.values.get(n, 0.0) in (0.0, 1.0) for answer in graded)]
    if binary and task.kind not in _FREE_TEXT:
        return Decider(binary[0], True)
    return Decider(names[0], names[0] in binary) if names else None


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of what was expected (lines) against what was answered (columns) of one rung."""

    rung: str
    lines: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    commonest: tuple[tuple[str, str, int], ...]  # expected, answered, rows; wrong ones only

    def share(self, line: int, column: int) -> float:
        """The count as a share of its line, 0 to 1."""
        return self.counts[line][column] / max(1, sum(self.counts[line]))


def confusion(rung: str, rows: Sequence[Answer], examples: Mapping[str, Example]) -> Confusion | None:
    """Expected against answered labels, or ``None`` without rows. Of many labels, those with few errors
    share the line `OTHER`."""
    written = {label.casefold(): label for label in (one_line(e.target) for e in examples.values())}
    pairs = Counter[tuple[str, str]]()
    for answer in rows:
        if answer.example_id in examples and answer.status != "error":
            expected = one_line(examples[answer.example_id].target)
            given = one_line(answer.answer) if answer.status == "ok" and answer.answer else NO_ANSWER
            pairs[written[expected.casefold()], written.get(given.casefold(), given)] += 1
    if not pairs:
        return None
    kept = _kept_labels(pairs)
    cells = Counter[tuple[str, str]]()
    for (expected, given), number in pairs.items():
        line = expected if expected in kept else OTHER
        cells[line, given if given in (*kept, NO_ANSWER) else OTHER] += number
    lines = (*kept, *((OTHER,) if any(line == OTHER for line, _ in cells) else ()))
    extra = [name for name in (OTHER, NO_ANSWER) if any(column == name for _, column in cells)]
    columns = (*kept, *extra)
    wrong = sorted((-n, e, g) for (e, g), n in pairs.items() if e != g)
    return Confusion(
        rung,
        lines,
        columns,
        tuple(tuple(cells[line, column] for column in columns) for line in lines),
        tuple((e, g, -n) for n, e, g in wrong[:MOST_ERRORS]),
    )


def _kept_labels(pairs: Counter[tuple[str, str]]) -> list[str]:
    """All expected labels by size, or, of many, those that take part in the most errors."""
    sizes, errors = Counter[str](), Counter[str]()
    for (expected, given), number in pairs.items():
        sizes[expected] += number
        if expected != given:
            errors[expected] += number
            errors[given] += number
    by_size = sorted(sizes, key=lambda label: (-sizes[label], label))
    if len(by_size) <= MOST_LABELS + 1:
        return by_size
    worst = set(sorted(by_size, key=lambda label: -errors[label])[:MOST_LABELS])
    return [label for label in by_size if label in worst]


@dataclass(frozen=True, slots=True)
class FieldErrors:
    """Errors of one JSON field over the test rows of one rung."""

    name: str
    expected: int  # rows whose target has the field
    right: int
    wrong: int
    missing: int
    extra: int  # rows where the answer has it and the target does not

    @property
    def errors(self) -> int:
        return self.wrong + self.missing + self.extra


def field_errors(
    rows: Sequence[Answer], examples: Mapping[str, Example]
) -> tuple[tuple[FieldErrors, ...], int]:
    """Errors by field, most errors first, and the number of rows that held no JSON object.

    Values are equal as in the field F1: strings in NFC without surrounding space, 5 as 5.0, lists in any
    order.
    """
    tallies: dict[str, Counter[str]] = {}
    unread = 0
    for answer in rows:
        example = examples.get(answer.example_id)
        target = _json_object(example.target) if example else None
        if target is None or answer.status == "error":
            continue
        given = _json_object(answer.answer) or _json_object(answer.text)
        if given is None:
            unread += 1
            continue
        for name in {**target, **given}:
            tally = tallies.setdefault(one_line(name), Counter())
            tally["expected"] += name in target
            tally[_fate(name, target, given)] += 1
    found = [
        FieldErrors(name, t["expected"], t["right"], t["wrong"], t["missing"], t["extra"])
        for name, t in tallies.items()
    ]
    return tuple(sorted(found, key=lambda f: (-f.errors, f.name))), unread


def _fate(name: str, target: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    if name not in given:
        return "missing"
    if name not in target:
        return "extra"
    return "right" if _same(target[name], given[name]) else "wrong"


def _same(one: Any, other: Any) -> bool:
    return _plain(one) == _plain(other)


def _plain(value: Any) -> str:
    """Text that is equal for values that the grader counts as equal."""
    if isinstance(value, str):
        return json.dumps(unicodedata.normalize("NFC", value).strip())
    if isinstance(value, float) and value.is_integer():
        return json.dumps(int(value))
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{_plain(v)}" for k, v in sorted(value.items())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(sorted(map(_plain, value))) + "]"
    return json.dumps(value)


def _json_object(text: str | None) -> dict[str, Any] | None:
    if not text or len(text) > 100_000:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def function_errors(
    rows: Sequence[Answer], examples: Mapping[str, Example], known: Sequence[str] = ()
) -> tuple[tuple[str, str, int], ...]:
    """(expected, called, rows) of calls to a wrong function, commonest first; `known` are function names."""
    wrong = Counter[tuple[str, str]]()
    for answer in rows:
        example = examples.get(answer.example_id)
        if example is None or answer.status == "error" or answer.values.get("function_match") == 1:
            continue
        expected = function_name(example.target, known)
        called = function_name(answer.answer or answer.text, known) if answer.status == "ok" else NO_ANSWER
        if expected != called:
            wrong[expected, called] += 1
    ranked = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))
    return tuple((e, c, n) for (e, c), n in ranked[:MOST_ERRORS])


def function_name(text: str, known: Sequence[str] = ()) -> str:
    """The function or command of a call: the longest known name it begins with, else its first word."""
    text = one_line(text)
    begun = [name for name in known if re.match(rf"{re.escape(name)}(?![\w.\-])", text)]
    if begun:
        return max(begun, key=len)
    word = re.match(r"[\w.\-/]+", text)
    return word.group()[:80] if word else NO_ANSWER


def side_by_side(
    examples: Sequence[Example],
    answers: Answers,
    judge: Decider | None,
    before: str | None,
    after: str | None,
) -> list[dict[str, Any]]:
    """Every test row (the first `ROW_CAP`) with each rung's answer, as plain JSON for the page.

    ``row`` number, ``p`` prompt turns without the `shared_opening`, ``y`` target, and ``k``: "f" where
    `after` is right or better than `before`, "b" the other way round, "w" where no rung is right.
    ``cells[i]`` is ``null``, or ``t`` what was understood, ``s`` status, ``v`` value, ``raw`` the text if it
    differs, ``n`` note.
    """
    by_id = {rung: {answer.example_id: answer for answer in rows} for rung, rows in answers.items()}
    found, shared = [], shared_opening(examples)
    for example in examples[:ROW_CAP]:
        mine = {rung: rows.get(example.id) for rung, rows in by_id.items()}
        values = {r: judge.value(a) if judge and a else None for r, a in mine.items()}
        found.append(
            {
                "row": example.row,
                "p": [[turn.role, _capped(turn.content)] for turn in example.prompt[bool(shared) :]],
                "y": _capped(example.target),
                "k": _kind(values, before, after),
                "cells": [_cell(mine[rung], values[rung]) for rung in by_id],
            }
        )
    return found


def shared_opening(examples: Sequence[Example]) -> str:
    """The system message that every row begins with, so that it is shown once; empty where there is none."""
    opening = {e.messages[0].content if e.messages[0].role == "system" else "" for e in examples}
    return clean(opening.pop())[:TEXT_CAP] if len(opening) == 1 else ""


def _kind(values: Mapping[str, float | None], before: str | None, after: str | None) -> str:
    old, new = values.get(before or ""), values.get(after or "")
    if old is not None and new is not None and old != new:
        return "f" if new > old else "b"
    known = [value for value in values.values() if value is not None]
    return "w" if known and max(known) <= 0 else ""


def _cell(answer: Answer | None, value: float | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    cell: dict[str, Any] = {"t": _capped(answer.answer if answer.answer is not None else answer.text)}
    cell |= {"s": answer.status, "v": value}
    if answer.answer is not None and answer.answer.strip() != answer.text.strip() and answer.text.strip():
        cell["raw"] = _capped(answer.text)
    if answer.note:
        cell["n"] = one_line(answer.note)
    return cell


def _capped(text: str) -> str:
    text = clean(text)
    return (
        text if len(text) <= TEXT_CAP else f"{text[:TEXT_CAP]} … ({len(text) - TEXT_CAP:,} more characters)"
    )
