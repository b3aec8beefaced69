"""Regret: how far a rung falls behind the best one, when the test rows could have been others like them.

A joint paired bootstrap of all rungs at once, on the test rows that every one of them answered.  It is the
Bayesian bootstrap (Rubin 1981, The Annals of Statistics 9(1), 130-134): each draw weighs the rows by a
Dirichlet(1, ..., 1) vector, the same for every rung.  In each draw the best rung is looked up again, so what
comes out also counts that the best score on few rows is partly luck.

Where every row is right or wrong, each rung gets half a row on which it alone is right.  For two rungs this
is the half row in each cell where they differ that Agresti and Min add (2005, Statistics in Medicine 24,
729-740): rungs that agree on the few rows seen are not said to be equal for certain.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rung.evaluation.stats import Floats, Value
from rung.records import Regret

DRAWS = 4000
BEATS = 0.8  # share of the draws in which a rung must be ahead of the floor
PRIOR = 0.5  # rows added for each rung, where rows are right or wrong
_CELLS = 4_000_000  # weights held at once: 32 MB


def draws(
    rows: Sequence[Floats], value: Value, share: bool = False, seed: int = 0, count: int = DRAWS
) -> Floats:
    """The metric of each rung under `count` draws of row weights: (rungs, count).

    `rows` holds (n, k) statistics of each rung over the same n rows; `value` turns their totals into the
    metric.  `share` says that they are `stats.mean_rows` of zeros and ones.  The weights of a draw sum to n.
    Raises `ValueError` without rows.
    """
    n, k = rows[0].shape
    if n == 0:
        raise ValueError("no rows in common")
    joined = np.concatenate(rows, axis=1)  # (n, rungs * k)
    alpha = np.ones(n)
    if share:
        joined = np.concatenate([joined, _one_right(len(rows))])  # (n + rungs, rungs * 2)
        alpha = np.concatenate([alpha, np.full(len(rows), PRIOR)])
    rng = np.random.default_rng(seed)
    found = np.empty((len(rows), count))
    step = max(1, _CELLS // len(alpha))
    for start in range(0, count, step):
        some = min(step, count - start)
        weights = rng.standard_gamma(alpha, (some, len(alpha)))  # divided by its sum: Dirichlet(alpha)
        weights *= len(alpha) / weights.sum(axis=1, keepdims=True)
        totals = (weights @ joined).reshape(some, len(rows), k)
        found[:, start : start + some] = value(totals).T  # (rungs, some)
    return found


def _one_right(rungs: int) -> Floats:
    """Statistics (rungs, rungs * 2) of rows on which one rung alone is right."""
    each = np.stack([np.eye(rungs), np.ones((rungs, rungs))], axis=-1)
    return each.reshape(rungs, rungs * 2)


def shortfalls(values: Floats, sign: int = 1) -> Floats:
    """How far each rung is behind the best in each draw: (rungs, draws), 0 or more.

    `values` is what `draws` returns; `sign` is -1 where lower is better.
    """
    ahead = sign * values
    return np.asarray(ahead.max(axis=0) - ahead)


def regrets(names: Sequence[str], behind: Floats, tolerance: float) -> tuple[Regret, ...]:
    """Expected regret of each rung, and the chance that it is within `tolerance` of the best.

    `behind` is what `shortfalls` returns, one row for each of `names`; `tolerance` is on the metric's scale.
    """
    within = (behind <= tolerance).mean(axis=1)
    return tuple(
        Regret(name, float(expected), float(chance))
        for name, expected, chance in zip(names, behind.mean(axis=1), within, strict=True)
    )


def choose(
    names: Sequence[str], values: Floats, floors: Sequence[int], tolerance: float
) -> tuple[Regret | None, tuple[Regret, ...]]:
    """The rung to recommend, None where none is ahead of the floor, and the regrets of all.

    `names` begins with the cheapest rung; `values` is (rungs, draws), higher is better; `floors` are the
    places of the rungs that are never recommended, and that a rung must be ahead of in `BEATS` of the draws.
    """
    every = regrets(names, shortfalls(values), tolerance)
    usable = [
        one
        for i, one in enumerate(every)
        if i not in floors and all((values[i] > values[floor]).mean() >= BEATS for floor in floors)
    ]
    return (least(usable, tolerance) if usable else None), every


def least(regrets: Sequence[Regret], tolerance: float) -> Regret:
    """The first of `regrets` whose expectation is within `tolerance`; else the one with the least.

    `regrets` begins with the cheapest rung.
    What differs by less than a tenth of the tolerance counts as equal there: draws are a sample too.
    """
    smallest = min(one.expected for one in regrets)
    bound = max(tolerance, smallest + tolerance / 10)
    return next(one for one in regrets if one.expected <= bound)
