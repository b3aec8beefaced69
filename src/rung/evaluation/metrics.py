"""Grades completions and turns grades into measures with intervals.

`grade` looks at one row, `measures` at all rows of one rung.  A metric is a function of totals over rows
(see `rung.evaluation.stats`), so its interval and the paired comparison of two rungs come from the same
few lines; `Metric.rows` works on Scores and on the Answers read back from disk alike.

    classification         accuracy, macro_f1
    extraction             field_f1, exact_match, json_valid
    api_call               exact_call, function_match
    translation            chrf, bleu
    knowledge, generation  rouge_l, exact_match
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rung.errors import DataError
from rung.evaluation import overlap, stats
from rung.evaluation.calls import read_call, same_call
from rung.evaluation.parse import parse, read_label, read_object
from rung.evaluation.stats import Floats, Value
from rung.records import Completion, Example, Measure, Score, ScoreStatus, Task, TaskKind
from rung.registry import Registry


class Graded(Protocol):
    """What a `Score` and an `Answer` have in common."""

    @property
    def example_id(self) -> str: ...
    @property
    def status(self) -> ScoreStatus: ...
    @property
    def answer(self) -> str | None: ...
    @property
    def values(self) -> Mapping[str, float]: ...


Rows = Callable[[Task, Sequence[Example], Sequence[Graded], Sequence[str]], Floats]


@dataclass(frozen=True, slots=True)
class Metric:
    """A number for many rows. Higher is better for all of them."""

    rows: Rows  # task, n examples, n grades, n texts -> statistics (n, k)
    value: Value  # their totals (..., k) -> the metric (...)
    share: bool = False  # the mean of rows that are 0 or 1
    unit: str = ""  # "" for a share of 1, "points" for 0-100
    note: Callable[[], str] = str


METRICS: Registry[Metric] = Registry("metric")


# --- one row ----------------------------------------------------------------------------------------


def grade(task: Task, example: Example, completion: Completion) -> Score:
    """The grade of one completion.

    An answer that cannot be read is ``unparsed``, or ``truncated`` if the token limit cut it off: wrong
    either way, with 0 in every metric.  Text tasks take any text, so a cut-off one is graded as it stands
    and still counted as ``truncated``.  A fault of the grader, such as a target that is not in the task's
    form, is an ``error`` with its reason in `note`; it never raises.
    """
    try:
        answer = _answer(task, example, completion.text)
        values = _GRADERS[task.kind](task, example.target, answer)
    except Exception as fault:  # noqa: BLE001 - our fault must not look like a wrong answer
        return Score(example.id, "error", note=f"{type(fault).__name__}: {fault}")
    status: ScoreStatus = "ok"
    if completion.truncated and (answer is None or task.kind in _TEXT_KINDS):
        status = "truncated"
    elif answer is None:
        status = "unparsed"
    return Score(example.id, status, values, answer, note="" if answer else f"no {_WANTED[task.kind]} found")


def _answer(task: Task, example: Example, text: str) -> str | None:
    if task.kind == "classification" and _label(task, example.target) not in task.labels:
        return read_label(text, (*task.labels, example.target.strip()))  # a label train never showed
    return parse(task, text)


def _label(task: Task, target: str) -> str:
    return read_label(target, task.labels) or target.strip()


def _classified(task: Task, target: str, answer: str | None) -> dict[str, float]:
    return {"accuracy": float(answer == _label(task, target))}


def _extracted(task: Task, target: str, answer: str | None) -> dict[str, float]:
    wanted = read_object(target)
    if wanted is None:
        raise DataError("the row's target is not a JSON object")
    found = read_object(answer) if answer is not None else None
    want, have = fields_of(wanted), fields_of({} if found is None else found)
    tp = (want & have).total()
    fp, fn = have.total() - tp, want.total() - tp
    right = found is not None and _plain(found) == _plain(wanted)
    f1 = 0.0 if found is None else float(_f1_of(np.array([tp, fp, fn], dtype=np.float64)))
    return {
        "field_f1": f1,
        "exact_match": float(right),
        "json_valid": float(found is not None),
        "tp": float(tp),
        "fp": float(fp),
        "fn": float(fn),
    }


def _called(task: Task, target: str, answer: str | None) -> dict[str, float]:
    wanted = read_call(target, task.functions)
    if wanted is None:
        raise DataError("the row's target is not a call or a command")
    found = read_call(answer, task.functions) if answer is not None else None
    return {
        "exact_call": float(found is not None and same_call(found, wanted)),
        "function_match": float(found is not None and found.name == wanted.name),
    }


def _translated(task: Task, target: str, answer: str | None) -> dict[str, float]:
    return {"chrf": float(overlap.chrf_of(overlap.chrf_rows([answer or ""], [target])[0]))}


def _written(task: Task, target: str, answer: str | None) -> dict[str, float]:
    said = answer or ""
    same = bool(said) and _loose(said) == _loose(target)
    return {"rouge_l": overlap.rouge_l(said, target), "exact_match": float(same)}


def _loose(text: str) -> Sequence[str]:
    return overlap.words(text) or text.split()


_GRADERS: dict[TaskKind, Callable[[Task, str, str | None], dict[str, float]]] = {
    "classification": _classified,
    "extraction": _extracted,
    "api_call": _called,
    "translation": _translated,
    "knowledge": _written,
    "generation": _written,
}
_TEXT_KINDS: tuple[TaskKind, ...] = ("translation", "knowledge", "generation")
_WANTED: dict[TaskKind, str] = {
    "classification": "single label",
    "extraction": "JSON object",
    "api_call": "call",
    "translation": "text",
    "knowledge": "text",
    "generation": "text",
}


def fields_of(value: Mapping[str, Any]) -> Counter[tuple[tuple[str, ...], str]]:
    """An object as (path, value) pairs: the order of keys and of list items does not count.

    Strings are compared after NFC and without surrounding space, case counts; 5 and 5.0 are equal; null
    is a value, not an absent field; an empty list or object is one.
    """
    found: Counter[tuple[tuple[str, ...], str]] = Counter()
    todo: list[tuple[tuple[str, ...], Any]] = [((key,), item) for key, item in value.items()]
    while todo:
        path, item = todo.pop()
        if isinstance(item, dict) and item:
            todo += [((*path, key), inner) for key, inner in item.items()]
        elif isinstance(item, list) and item:
            todo += [((*path, "[]"), inner) for inner in item]
        else:
            found[path, _plain(item)] += 1
    return found


def _plain(value: Any) -> str:
    """JSON text that is equal for values that count as equal."""
    return json.dumps(_tidy(value), sort_keys=True)


def _tidy(value: Any) -> Any:
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value).strip()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _tidy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    return value


# --- all rows ---------------------------------------------------------------------------------------


def measures(
    task: Task, examples: Sequence[Example], scores: Sequence[Score], texts: Sequence[str], seed: int = 0
) -> tuple[Measure, ...]:
    """The task's metrics over all rows, the primary one first, each with its 95% interval.

    `examples`, `scores` and `texts` (what the model wrote) go row by row; rows with a grader's fault are left
    out, and a metric over no rows has no value.  Raises `UsageError` for a metric that does not exist.
    """
    kept = [row for row in zip(examples, scores, texts, strict=True) if row[1].status != "error"]
    if any(example.id != score.example_id for example, score, _ in kept):
        raise ValueError("examples and scores are not of the same rows")
    columns = ([row[0] for row in kept], [row[1] for row in kept], [row[2] for row in kept])
    return tuple(_measure(name, METRICS[name], task, columns, seed) for name in task.metrics)


def _measure(
    name: str,
    metric: Metric,
    task: Task,
    columns: tuple[Sequence[Example], Sequence[Graded], Sequence[str]],
    seed: int,
) -> Measure:
    if not columns[0]:
        return Measure(name, None, unit=metric.unit, note=metric.note())
    rows = metric.rows(task, *columns)
    n = len(rows)
    value, low, high = (
        stats.mean_interval(rows[:, 0]) if metric.share else stats.interval(rows, metric.value, seed)
    )
    top = 100.0 if metric.unit == "points" else 1.0
    if low is not None and low == high == top:  # no row has a flaw: bound the share of rows that might
        low = top * stats.wilson(n, n)[0]
    elif high is not None and low == high == 0:
        high = top * stats.wilson(0, n)[1]
    return Measure(name, value, low, high, n, unit=metric.unit, note=metric.note())


def primary_rows(
    task: Task, examples: Sequence[Example], graded: Sequence[Graded], texts: Sequence[str]
) -> Floats:
    """Statistics (n, k) of the primary metric; ``METRICS[task.primary].value`` turns totals into it."""
    return METRICS[task.primary].rows(task, examples, graded, texts)


def _mean(name: str) -> Rows:
    def rows(
        task: Task, examples: Sequence[Example], graded: Sequence[Graded], texts: Sequence[str]
    ) -> Floats:
        return stats.mean_rows([score.values[name] for score in graded])

    return rows


def _field_rows(
    task: Task, examples: Sequence[Example], graded: Sequence[Graded], texts: Sequence[str]
) -> Floats:
    return np.array([[score.values[key] for key in ("tp", "fp", "fn")] for score in graded]).reshape(-1, 3)


def _f1_of(totals: Floats) -> Floats:
    """Micro F1 from totals (..., 3) of tp, fp, fn; 1 where nothing was asked for and nothing said."""
    tp, wrong = totals[..., 0], totals[..., 1] + totals[..., 2]
    return np.asarray(np.where(tp + wrong > 0, 2 * tp / np.maximum(2 * tp + wrong, 1), 1.0))


def _label_rows(
    task: Task, examples: Sequence[Example], graded: Sequence[Graded], texts: Sequence[str]
) -> Floats:
    """tp, fp, fn of every label that occurs as a target: (n, 3 * labels)."""
    wanted = [_label(task, example.target) for example in examples]
    place = {label: 3 * i for i, label in enumerate(sorted(set(wanted)))}
    rows = np.zeros((len(wanted), 3 * len(place)))
    for row, want, score in zip(rows, wanted, graded, strict=True):
        if score.answer == want:
            row[place[want]] = 1
            continue
        row[place[want] + 2] = 1
        if score.answer in place:
            row[place[score.answer] + 1] = 1
    return rows


def _macro_f1_of(totals: Floats) -> Floats:
    """Mean F1 over the labels that occur as targets; an unparsed answer belongs to none of them."""
    counts = totals.reshape(*totals.shape[:-1], -1, 3)
    there = counts[..., 0] + counts[..., 2] > 0
    scores = np.where(there, _f1_of(counts), 0.0)
    return np.asarray(scores.sum(axis=-1) / np.maximum(there.sum(axis=-1), 1))


def _chrf_rows(
    task: Task, examples: Sequence[Example], graded: Sequence[Graded], texts: Sequence[str]
) -> Floats:
    return overlap.chrf_rows(texts, [example.target for example in examples])


def _bleu_rows(
    task: Task, examples: Sequence[Example], graded: Sequence[Graded], texts: Sequence[str]
) -> Floats:
    return overlap.bleu_rows(texts, [example.target for example in examples])


for _name in ("accuracy", "exact_match", "json_valid", "exact_call", "function_match"):
    METRICS.add(_name, Metric(_mean(_name), stats.mean_of, share=True))
METRICS.add("rouge_l", Metric(_mean("rouge_l"), stats.mean_of))
METRICS.add("field_f1", Metric(_field_rows, _f1_of))
METRICS.add("macro_f1", Metric(_label_rows, _macro_f1_of))
METRICS.add(
    "chrf", Metric(_chrf_rows, overlap.chrf_of, unit="points", note=lambda: overlap.signature("chrf"))
)
METRICS.add(
    "bleu", Metric(_bleu_rows, overlap.bleu_of, unit="points", note=lambda: overlap.signature("bleu"))
)
