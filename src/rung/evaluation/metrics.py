"""Grades completions and turns grades into measures with intervals.

`grade` looks at one row, `measures` at all rows of one rung.  A metric is a function of totals over rows
(see `rung.evaluation.stats`), so its interval and the paired comparison of two rungs come from the same
few lines; `Metric.rows` works on Scores and on Answers read back from disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rung.evaluation import overlap, stats
from rung.evaluation.stats import Floats, Value
from rung.evaluation.tasks import KINDS
from rung.records import Completion, Example, Measure, Score, ScoreStatus, Task
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
    @property
    def evidence(self) -> Mapping[str, Any]: ...


Rows = Callable[[Task, Sequence[Example], Sequence[Graded], Sequence[str]], Floats]


@dataclass(frozen=True, slots=True)
class Metric:
    """A number for many rows."""

    rows: Rows  # task, n examples, n grades, n texts -> statistics (n, k)
    value: Value  # their totals (..., k) -> the metric (...)
    share: bool = False  # the mean of rows that are 0 or 1
    unit: str = ""  # "" for a share of 1, "points" for 0-100
    higher_is_better: bool = True
    note: Callable[[], str] = str
    span: Callable[[Task], float | None] | None = None  # its largest value; None: 1, or 100 points

    def reach(self, task: Task) -> float | None:
        """The largest value it can have, 0 being the smallest; None where it has no end."""
        return self.span(task) if self.span else 100.0 if self.unit == "points" else 1.0

    needs: str = ""  # a value without which a row is left out; "" where every graded row has all it takes


METRICS: Registry[Metric] = Registry("metric")
_RATIO = "words of all answers over words of all targets; 1 is best, less is too short, more too long"


# --- one row ----------------------------------------------------------------------------------------


def grade(task: Task, example: Example, completion: Completion) -> Score:
    """The grade of one completion.

    An answer that cannot be read is ``unparsed``, or ``truncated`` if the token limit cut it off: wrong
    either way.  Tasks that take any text grade a cut-off one as it is and still count it as
    ``truncated``.  A fault of the grader, such as a target that is not in the task's form, is an ``error``
    with its reason in `note`; it never raises.
    """
    kind = KINDS[task.kind]
    try:
        answer = kind.answer(task, example, completion.text)
        found = kind.grade(task, example, answer)
    except Exception as fault:  # noqa: BLE001 - our fault must not look like a wrong answer
        return Score(example.id, "error", note=f"{type(fault).__name__}: {fault}")
    status: ScoreStatus = "ok"
    if completion.truncated and (answer is None or kind.any_text):
        status = "truncated"
    elif answer is None:
        status = "unparsed"
    note = "" if answer else f"no {kind.wanted} found"
    return Score(example.id, status, {**found.values, **completion.values}, answer, note, found.evidence)


# --- all rows ---------------------------------------------------------------------------------------


def measures(
    task: Task,
    examples: Sequence[Example],
    scores: Sequence[Graded],
    texts: Sequence[str],
    seed: int = 0,
    row_of: Mapping[str, str] | None = None,
    inflation: float = 1.0,
) -> tuple[Measure, ...]:
    """The task's metrics over all rows, the primary one first, each with its 95% interval; then those that
    its kind only shows, where they could be measured.

    `examples`, `scores` and `texts` (what the model wrote) go row by row; rows with a grader's fault are left
    out, and a metric over no rows has no value.  `row_of` maps the ids of examples that are the same row to
    one name: such a row counts once, with the mean of its statistics.  `inflation` widens the intervals, see
    `rung.evaluation.stats`.  Raises `UsageError` for a metric that does not exist.
    """
    kept = [row for row in zip(examples, scores, texts, strict=True) if row[1].status != "error"]
    if any(example.id != score.example_id for example, score, _ in kept):
        raise ValueError("examples and scores are not of the same rows")
    found = []
    for name in (*task.metrics, *KINDS[task.kind].shown):
        needs = METRICS[name].needs
        some = [row for row in kept if needs in row[1].values] if needs else kept
        if needs and not some and name not in task.metrics:
            continue
        columns = ([row[0] for row in some], [row[1] for row in some], [row[2] for row in some])
        names = [row_of[example.id] for example in columns[0]] if row_of else None
        found.append(_measure(name, METRICS[name], task, columns, seed, names, inflation))
    return tuple(found)


def _measure(
    name: str,
    metric: Metric,
    task: Task,
    columns: tuple[Sequence[Example], Sequence[Graded], Sequence[str]],
    seed: int,
    names: Sequence[str] | None,
    inflation: float,
) -> Measure:
    higher, unit, note = metric.higher_is_better, metric.unit, metric.note()
    if not columns[0]:
        return Measure(name, None, higher_is_better=higher, unit=unit, note=note)
    rows = metric.rows(task, *columns)
    if rows.shape[1] == 2 and not rows[:, -1].any() and metric.value in (stats.mean_of, _share_of):  # of none
        return Measure(name, None, higher_is_better=higher, unit=unit, note=note)
    if names is not None:
        rows = stats.by_row(rows, names)
    n = len(rows)
    value, low, high = (
        stats.mean_interval(rows[:, 0], inflation=inflation)
        if metric.share
        else stats.interval(rows, metric.value, seed, inflation)
    )
    top = metric.reach(task)
    if top is None:  # a ratio: it has no best end
        pass
    elif low is not None and low == high == top:  # no row has a flaw: bound the share of rows that might
        low = top * stats.wilson(n, n, inflation)[0]
    elif high is not None and low == high == 0:
        high = top * stats.wilson(0, n, inflation)[1]
    return Measure(name, value, low, high, n, higher, unit, note)


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


def _known(name: str) -> Rows:
    """As `_mean`, over the rows that have the value; of none there is no mean."""

    def rows(
        task: Task, examples: Sequence[Example], graded: Sequence[Graded], texts: Sequence[str]
    ) -> Floats:
        there = [[score.values.get(name, 0.0), float(name in score.values)] for score in graded]
        return np.array(there).reshape(-1, 2)

    return rows


def _field_rows(
    task: Task, examples: Sequence[Example], graded: Sequence[Graded], texts: Sequence[str]
) -> Floats:
    return np.array([[score.values[key] for key in ("tp", "fp", "fn")] for score in graded]).reshape(-1, 3)


def _number_rows(
    task: Task, examples: Sequence[Example], graded: Sequence[Graded], texts: Sequence[str]
) -> Floats:
    counts = [[score.values[key] for key in ("numbers_right", "numbers")] for score in graded]
    return np.array(counts).reshape(-1, 2)


def _invented_rows(
    task: Task, examples: Sequence[Example], graded: Sequence[Graded], texts: Sequence[str]
) -> Floats:
    counts = [[score.values.get(key, 0.0) for key in ("invented", "copied")] for score in graded]
    return np.array(counts).reshape(-1, 2)


def _rules(level: str) -> Rows:
    def rows(
        task: Task, examples: Sequence[Example], graded: Sequence[Graded], texts: Sequence[str]
    ) -> Floats:
        counts = [[score.values[key] for key in (f"followed_{level}", "rules")] for score in graded]
        return np.array(counts).reshape(-1, 2)

    return rows


def _share_of(totals: Floats) -> Floats:
    """The share of those that are right, from totals (..., 2) of them and of all; of none it is 0 here, and
    absent from measures."""
    return np.asarray(totals[..., 0] / np.maximum(totals[..., 1], 1))


def _label_rows(
    task: Task, examples: Sequence[Example], graded: Sequence[Graded], texts: Sequence[str]
) -> Floats:
    """tp, fp, fn of every label that occurs as a target: (n, 3 * labels)."""
    wanted = [_label_set(score.evidence["wanted"]) for score in graded]
    place = {label: 3 * i for i, label in enumerate(sorted(set().union(*wanted)))}
    rows = np.zeros((len(wanted), 3 * len(place)))
    for row, want, score in zip(rows, wanted, graded, strict=True):
        got = _label_set(score.evidence["got"])
        for label in want:
            row[place[label] + (0 if label in got else 2)] = 1
        for label in got - want:
            if label in place:
                row[place[label] + 1] = 1
    return rows


def _label_set(found: str | Sequence[str] | None) -> set[str]:
    """A label, several or none as a set."""
    return {found} if isinstance(found, str) else set(found or ())


def _error_rows(
    task: Task, examples: Sequence[Example], graded: Sequence[Graded], texts: Sequence[str]
) -> Floats:
    """Absolute errors (n, 2); a row whose target is no number counts as none."""
    known = [score.values.get("absolute_error") for score in graded]
    return np.array([(0.0, 0.0) if error is None else (error, 1.0) for error in known]).reshape(-1, 2)


def _mean_error_of(totals: Floats) -> Floats:
    return np.asarray(totals[..., 0] / np.maximum(totals[..., 1], 1e-12))


def _widest_error(task: Task) -> float:
    steps = task.facts.get("scale", {}).values()
    return float(max(steps) - min(steps)) if steps else 1.0


def _length_rows(
    task: Task, examples: Sequence[Example], graded: Sequence[Graded], texts: Sequence[str]
) -> Floats:
    return _bleu_rows(task, examples, graded, texts)[:, :2]


def _ratio_of(totals: Floats) -> Floats:
    """Words of answers over words of targets, from totals (..., 2)."""
    return np.asarray(totals[..., 0] / np.maximum(totals[..., 1], 1))


def _macro_f1_of(totals: Floats) -> Floats:
    """Mean F1 over the labels that occur as targets; an unparsed answer belongs to none of them."""
    counts = totals.reshape(*totals.shape[:-1], -1, 3)
    there = counts[..., 0] + counts[..., 2] > 0
    scores = np.where(there, stats.f1_of(counts), 0.0)
    return np.asarray(scores.sum(axis=-1) / np.maximum(there.sum(axis=-1), 1))


def _chrf_rows(
    task: Task, examples: Sequence[Example], graded: Sequence[Graded], texts: Sequence[str]
) -> Floats:
    return overlap.chrf_rows(texts, [example.target for example in examples])


def _bleu_rows(
    task: Task, examples: Sequence[Example], graded: Sequence[Graded], texts: Sequence[str]
) -> Floats:
    return overlap.bleu_rows(texts, [example.target for example in examples])


for _name in ("accuracy", "exact_match", "exact_set", "json_valid", "schema_valid", "exact_call"):
    METRICS.add(_name, Metric(_mean(_name), stats.mean_of, share=True))
METRICS.add("function_match", Metric(_mean("function_match"), stats.mean_of, share=True))
METRICS.add("containment", Metric(_mean("containment"), stats.mean_of, share=True))
METRICS.add("choice_accuracy", Metric(_mean("choice"), stats.mean_of, share=True, needs="choice"))
METRICS.add("made_up", Metric(_invented_rows, _share_of, higher_is_better=False, needs="copied"))
for _name in ("copied", "empty"):
    METRICS.add(_name, Metric(_mean(_name), stats.mean_of, share=True, higher_is_better=False))
for _name in ("rouge_l", "rouge_l_recall", "jaccard", "samples_f1"):
    METRICS.add(_name, Metric(_mean(_name), stats.mean_of))
for _name in ("field_f1", "micro_f1"):
    METRICS.add(_name, Metric(_field_rows, stats.f1_of))
METRICS.add(
    "mean_absolute_error",
    Metric(_error_rows, _mean_error_of, unit="on the scale", higher_is_better=False, span=_widest_error),
)
METRICS.add(
    "length_ratio",
    Metric(_length_rows, _ratio_of, unit="of the target", note=lambda: _RATIO, span=lambda task: None),
)
for _name in ("hallucination", "wrong_choice", "wrong_argument"):
    METRICS.add(_name, Metric(_mean(_name), stats.mean_of, share=True, higher_is_better=False))
METRICS.add("reward_accuracy", Metric(_mean("reward_accuracy"), stats.mean_of, share=True))
METRICS.add("likelier", Metric(_known("likelier"), stats.mean_of))
METRICS.add("margin", Metric(_known("margin"), stats.mean_of, unit="nats"))
METRICS.add("chosen_change", Metric(_known("chosen_change"), stats.mean_of, unit="nats/token"))
for _name in ("strict", "loose"):  # prompts with all rules followed, and rules followed
    METRICS.add(f"prompt_{_name}", Metric(_mean(f"prompt_{_name}"), stats.mean_of, share=True))
    METRICS.add(f"instruction_{_name}", Metric(_rules(_name), _share_of))
METRICS.add("number_match", Metric(_number_rows, _share_of))
METRICS.add("macro_f1", Metric(_label_rows, _macro_f1_of))
METRICS.add(
    "chrf", Metric(_chrf_rows, overlap.chrf_of, unit="points", note=lambda: overlap.signature("chrf"))
)
METRICS.add(
    "bleu", Metric(_bleu_rows, overlap.bleu_of, unit="points", note=lambda: overlap.signature("bleu"))
)
