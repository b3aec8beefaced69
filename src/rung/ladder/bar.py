"""The score that a tuned rung has to beat: that of the best rung before it, on dev. Test rows decide nothing.

A rung that chose on dev, or by cross-validation, keeps what each choice scored. The best of many tries on few
rows looks better than it is, by about its standard error times the highest of so many normal draws
(Blom 1958: the quantile (k - 3/8) / (k + 1/4)). That is taken off, so that no rung is left out for a bar
that was lucky.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

from scipy.stats import norm

from rung.evaluation.metrics import METRICS
from rung.records import Choice, Measure, Result, Task

SCORED = frozenset({"answer", "n-grams", "reading", "C", "prompt", "answer by"})  # choices made by the metric
MOST_ROWS = 1_000  # on which a choice is made by cross-validation
_INTERVAL = 2 * 1.96  # standard errors in a 95% interval
_ROWS = re.compile(r" \(on (\d+) rows\)$")


@dataclass(frozen=True, slots=True)
class Bar:
    """What a rung scored on dev, in the primary metric."""

    rung: str
    score: float
    error: float  # standard error
    kind: str = ""  # of the rung


def bound_of(task: Task) -> float | None:
    """The highest value of the primary metric; None where lower is better, or where there is none."""
    metric = METRICS[task.primary]
    if not metric.higher_is_better:
        return None
    return {"": 1.0, "points": 100.0}.get(metric.unit)


def error_of(score: float, rows: int, bound: float) -> float:
    """The largest standard error that a mean of `rows` values between 0 and `bound` can have.

    sqrt(s (1 - s) / n) with s the share of the bound, half a row added on each side so that it is never 0.
    """
    share = (score / bound * rows + 0.5) / (rows + 1)
    return bound * sqrt(share * (1 - share) / max(1, rows))


def lucky(tries: int) -> float:
    """The highest of `tries` standard normal draws, as expected (Blom's approximation); 0 for one."""
    return float(norm.ppf((tries - 0.375) / (tries + 0.25))) if tries > 1 else 0.0


def of_measure(rung: str, measure: Measure | None, kind: str = "") -> Bar | None:
    """A bar measured on rows of its own; None where there is no number."""
    if measure is None or measure.value is None or measure.low is None or measure.high is None:
        return None
    return Bar(rung, measure.value, (measure.high - measure.low) / _INTERVAL, kind)


def of_result(result: Result, bound: float) -> Bar | None:
    """What `result` says of its rung on dev; None where it says nothing, or nothing that can be compared."""
    if result.status != "ok":
        return None
    if result.dev is not None:
        return of_measure(result.rung, result.dev, result.kind)
    choices = [choice for choice in result.choices if choice.name in SCORED]
    found = [one for choice in choices if (one := _chosen(choice)) is not None]
    if not found or result.quote is None or result.kind == "tune":
        return None
    score, rows = found[-1]  # the last choice is among what the others left
    if not 0 <= score <= bound:
        return None
    quote = result.quote
    if not rows:
        known = quote.dev_rows if result.kind == "prompt" else quote.train_rows + quote.dev_rows
        rows = min(known, MOST_ROWS)
    error = error_of(score, rows, bound)
    tries = sum(len(choice.tried) for choice in choices)
    return Bar(result.rung, max(0.0, score - lucky(tries) * error), error, result.kind)


def highest(bars: Iterable[Bar]) -> Bar | None:
    """The bar to beat."""
    return max(bars, key=lambda bar: bar.score, default=None)


def _chosen(choice: Choice) -> tuple[float, int] | None:
    """The score of what was chosen, and on how many rows, 0 for all of them."""
    for name, value in choice.tried.items():
        if _ROWS.sub("", name) == choice.chosen and value is not None:
            rows = _ROWS.search(name)
            return value, int(rows[1]) if rows else 0
    return None
