"""What went wrong, row by row: the side-by-side table, confusions, field and call errors.

Made from the evidence that the grader stored in each answer; nothing is parsed or graded again.  Evidence
has one of four shapes: ``wanted`` and ``got`` are two labels, or two lists of labels; ``fields`` is a list of
fields with their ``path``; ``wanted``, ``got`` and ``arguments`` are lists of names of calls and of arguments
that differ, and there may be ``made_up``, the names of what does not exist.
Answers without evidence, from an older run or a task that gives none, have no such table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rung.numbers import clean, one_line
from rung.records import Answer, Example, Task

Answers = Mapping[str, Sequence[Answer]]
NO_ANSWER = "(no answer)"
OTHER = "(other)"
MOST_LABELS = 12  # labels of a confusion matrix that get a line of their own
MOST_ERRORS = 12  # lines of a list of errors
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
    """The task's metric for single rows, or the first of its metrics that rows have."""
    graded = [answer for rows in answers.values() for answer in rows if answer.status != "error"]
    known = {name for answer in graded for name in answer.values}
    name = next((name for name in (task.row_metric, *task.metrics) if name in known), None)
    if name is None:
        return None
    return Decider(name, all(answer.values.get(name, 0.0) in (0.0, 1.0) for answer in graded))


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


def confusion(rung: str, rows: Sequence[Answer]) -> Confusion | None:
    """Expected against answered labels, or ``None`` without rows. Of many labels, those with few errors
    share the line `OTHER`."""
    pairs = Counter[tuple[str, str]]()
    for answer in rows:
        if answer.status != "error" and isinstance(answer.evidence.get("wanted"), str):
            got = answer.evidence.get("got")
            pairs[one_line(answer.evidence["wanted"]), NO_ANSWER if got is None else one_line(got)] += 1
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
    expected: int  # how often targets have the field
    right: int
    wrong: int
    missing: int
    extra: int  # how often answers have it and their targets do not
    unread: int = 0  # how often targets have it where the answer held no JSON

    @property
    def precision(self) -> float | None:
        """The share of given values that are right; None where none was given."""
        return _share(self.right, self.right + self.wrong + self.extra)

    @property
    def recall(self) -> float | None:
        """The share of wanted values that were found; None where none was wanted."""
        return _share(self.right, self.expected + self.unread)

    @property
    def f1(self) -> float | None:
        """F1 of both, where a wrong value is an extra and a missing one; None where there is no value."""
        given = self.right + self.wrong + self.extra
        return _share(2 * self.right, given + self.expected + self.unread)

    @property
    def errors(self) -> int:
        return self.wrong + self.missing + self.extra


def field_errors(rows: Sequence[Answer]) -> tuple[tuple[FieldErrors, ...], int]:
    """Errors by field, most errors first, and the number of rows that held no JSON."""
    tallies: dict[str, Counter[str]] = {}
    unread = 0
    for answer in rows:
        if answer.status == "error" or "fields" not in answer.evidence:
            continue
        if answer.answer is None:
            unread += 1
            for found in answer.evidence["fields"]:
                tallies.setdefault(one_line(found["path"]), Counter())["unread"] += "wanted" in found
            continue
        for found in answer.evidence["fields"]:
            tally = tallies.setdefault(one_line(found["path"]), Counter())
            tally["expected"] += "wanted" in found
            tally[_fate(found)] += 1
    fields = [
        FieldErrors(name, t["expected"], t["right"], t["wrong"], t["missing"], t["extra"], t["unread"])
        for name, t in tallies.items()
        if t.total() > t["unread"]  # a rung that wrote no JSON at all has no table
    ]
    return tuple(sorted(fields, key=lambda f: (-f.errors, f.name))), unread


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _fate(found: Mapping[str, Any]) -> str:
    if "got" not in found:
        return "missing"
    if "wanted" not in found:
        return "extra"
    return "right" if found["right"] else "wrong"


def label_errors(rows: Sequence[Answer]) -> tuple[tuple[FieldErrors, ...], int]:
    """Errors by label where rows have several, most errors first, and how many answers had no label in them.

    A label is right, missing or extra; an answer without labels lacks all that its row has.
    """
    tallies: dict[str, Counter[str]] = {}
    unread = 0
    for answer in rows:
        wanted, got = answer.evidence.get("wanted"), answer.evidence.get("got")
        if answer.status == "error" or not isinstance(wanted, list) or "arguments" in answer.evidence:
            continue
        unread += got is None
        for label in {*wanted, *(got or ())}:
            tally = tallies.setdefault(one_line(label), Counter())
            tally["expected"] += label in wanted
            tally[
                "right"
                if label in wanted and label in (got or ())
                else "missing"
                if label in wanted
                else "extra"
            ] += 1
    found = [
        FieldErrors(name, t["expected"], t["right"], 0, t["missing"], t["extra"])
        for name, t in tallies.items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.errors, one.name))), unread


@dataclass(frozen=True, slots=True)
class CallErrors:
    """What was wrong with the calls of one rung, commonest first."""

    functions: tuple[tuple[str, str, int], ...]  # expected, called, rows
    arguments: tuple[tuple[str, int], ...]  # of the right function, rows
    made_up: tuple[tuple[str, int], ...] = ()  # calls, arguments and flags that do not exist, rows

    def __bool__(self) -> bool:
        return bool(self.functions or self.arguments or self.made_up)


def call_errors(rows: Sequence[Answer]) -> CallErrors:
    """Calls of wrong functions, and arguments that differ where the function is right."""
    wrong, differ, made_up = Counter[tuple[str, str]](), Counter[str](), Counter[str]()
    for answer in rows:
        if answer.status == "error" or "arguments" not in answer.evidence:
            continue
        wanted, got = (_names(answer.evidence[side]) for side in ("wanted", "got"))
        if wanted != got:
            wrong[wanted, got] += 1
        differ.update(one_line(name) for name in answer.evidence["arguments"])
        made_up.update(one_line(name) for name in answer.evidence.get("made_up", ()))
    functions = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))
    arguments, unknown = (
        sorted(found.items(), key=lambda item: (-item[1], item[0])) for found in (differ, made_up)
    )
    return CallErrors(
        tuple((expected, called, n) for (expected, called), n in functions[:MOST_ERRORS]),
        tuple(arguments[:MOST_ERRORS]),
        tuple(unknown[:MOST_ERRORS]),
    )


def _names(calls: Sequence[str]) -> str:
    return ", ".join(map(one_line, calls)) or NO_ANSWER


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
