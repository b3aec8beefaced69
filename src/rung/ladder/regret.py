"""Regret: how far a rung falls behind the best one, when the test rows could have been others like them.

A joint paired bootstrap of all rungs at once, on the same test rows.  It is the Bayesian bootstrap (Rubin
1981, The Annals of Statistics 9(1), 130-134): each draw weighs the rows by a Dirichlet(1, ..., 1) vector, the
same for every rung.  In each draw the best rung is looked up again, so what comes out also counts that the
best score on few rows is partly luck.

Where every row is right or wrong, each rung gets half a row on which it alone is right.  For two rungs this
is the half row in each cell where they differ that Agresti and Min add (2005, Statistics in Medicine 24,
729-740): rungs that agree on the few rows seen are not said to be equal for certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rung.evaluation.stats import Floats, Value
from rung.records import Regret

DRAWS = 4000
BEATS = 0.8  # share of the draws in which a rung must be ahead of the floor
PRIOR = 0.5  # rows added for each rung, where rows are right or wrong
_CELLS = 4_000_000  # weights held at once: 32 MB


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of a rung that answered only some of them, next to those of a rung that answered all."""

    places: NDArray[np.intp]  # (m,) which of the n rows it answered
    rows: Floats  # (m, k) its statistics on them
    other: Floats  # (m, k) the statistics of the other rung on the same rows
    whole: int  # the place of that other rung


Given = Floats | Part  # statistics (n, k) on all rows, or on a part of them


def draws(
    given: Sequence[Given],
    value: Value,
    share: bool = False,
    seed: int = 0,
    count: int = DRAWS,
    inflation: float = 1.0,
) -> Floats:
    """The metric of each rung under `count` draws of row weights: (rungs, count).

    `value` turns totals of statistics into the metric.  `share` says that they are `stats.mean_rows` of
    zeros and ones.  The weights of a draw sum to their number.  With an `inflation` n rows count as
    n / inflation of them: Dirichlet(1 / inflation, ...), so the draws are spread wider around the same mean.
    Raises `ValueError` without rows.

    A rung with a `Part` gets the other rung's metric on all rows plus the difference of the two on the part
    (the difference estimator of survey sampling, Cochran 1977, Sampling Techniques, 7.3): a part with easy
    rows does not make it look better, and the others lose none of their rows to it.
    """
    n = _number_of_rows(given)
    alpha = np.full(n, 1 / inflation)
    if share:
        alpha = np.concatenate([alpha, np.full(len(given), PRIOR)])
    rng = np.random.default_rng(seed)
    found = np.empty((len(given), count))
    step = max(1, _CELLS // len(alpha))
    for start in range(0, count, step):
        some = min(step, count - start)
        weights = rng.standard_gamma(alpha, (some, len(alpha)))  # divided by its sum: Dirichlet(alpha)
        weights *= len(alpha) / weights.sum(axis=1, keepdims=True)
        found[:, start : start + some] = _under(weights[:, :n], weights[:, n:], given, value)
    return found


def scores(given: Sequence[Given], value: Value) -> Floats:
    """The metric of each rung on the rows as they are, (rungs,); a `Part` as in `draws`."""
    return _under(np.ones((1, _number_of_rows(given))), np.ones((1, 0)), given, value)[:, 0]


def _number_of_rows(given: Sequence[Given]) -> int:
    n = next(len(one) for one in given if not isinstance(one, Part))
    if n == 0:
        raise ValueError("no rows in common")
    return n


def _under(weights: Floats, alone: Floats, given: Sequence[Given], value: Value) -> Floats:
    """The metric of each rung, (rungs, draws), under weights (draws, n) of rows.

    `alone` are the weights (draws, rungs) of rows on which one rung alone is right; (draws, 0) without them.
    """
    whole = [i for i, one in enumerate(given) if not isinstance(one, Part)]
    joined = weights @ np.concatenate([given[i] for i in whole], axis=1)  # (draws, rungs with all rows * k)
    found = np.empty((len(given), len(weights)))
    for i, totals in zip(whole, np.split(joined, len(whole), axis=1), strict=True):  # (draws, k)
        found[i] = value(_with(totals, alone, i))
    for i, one in enumerate(given):
        if isinstance(one, Part):
            some = weights[:, one.places]  # (draws, m)
            mine = value(_with(some @ one.rows, alone, i))  # (draws, m) @ (m, k) -> (draws, k) -> (draws,)
            other = value(_with(some @ one.other, alone, one.whole))
            found[i] = found[one.whole] + mine - other
    return found


def _with(totals: Floats, alone: Floats, rung: int) -> Floats:
    """Totals (draws, k) with the rows on which one rung alone is right: `rung` is right on its own."""
    if alone.shape[1] == 0:
        return totals
    return np.asarray(totals + np.stack([alone[:, rung], alone.sum(axis=1)], axis=1))


def shortfalls(values: Floats, sign: int = 1) -> Floats:
    """How far each rung is behind the best in each draw: (rungs, draws), 0 or more.

    `values` is what `draws` returns; `sign` is -1 where lower is better.
    """
    ahead = sign * values
    return np.asarray(ahead.max(axis=0) - ahead)  # (draws,) - (rungs, draws)


def regrets(names: Sequence[str], behind: Floats, tolerance: float) -> tuple[Regret, ...]:
    """Expected regret of each rung, and the chance that it is within `tolerance` of the best.

    `behind` is what `shortfalls` returns, one row for each of `names`; `tolerance` is on the metric's scale.
    """
    within = (behind <= tolerance).mean(axis=1)  # (rungs,)
    return tuple(
        Regret(name, float(expected), float(chance))
        for name, expected, chance in zip(names, behind.mean(axis=1), within, strict=True)
    )


def choose(
    names: Sequence[str],
    values: Floats,
    floors: Sequence[int],
    tolerance: float,
    enough: Sequence[int] = (),
) -> tuple[Regret | None, tuple[Regret, ...]]:
    """The rung to recommend, None where none is ahead of the floor, and the regrets of all.

    `names` begins with the cheapest rung; `values` is (rungs, draws), higher is better; `floors` are the
    places of the rungs that are never recommended, and that a rung must be ahead of in `BEATS` of the draws.
    `enough` are the places of rungs that reach the goal: where there are any, one of them is taken.
    """
    every = regrets(names, shortfalls(values), tolerance)
    usable = [
        i
        for i in range(len(names))
        if i not in floors and all((values[i] > values[floor]).mean() >= BEATS for floor in floors)
    ]
    usable = [i for i in usable if i in enough] or usable
    return (least([every[i] for i in usable], tolerance) if usable else None), every


def least(regrets: Sequence[Regret], tolerance: float) -> Regret:
    """The first of `regrets` whose expectation is within `tolerance`; else the one with the least.

    `regrets` begins with the cheapest rung.
    What differs by less than a tenth of the tolerance counts as equal there: draws are a sample too.
    """
    smallest = min(one.expected for one in regrets)
    bound = max(tolerance, smallest + tolerance / 10)
    return next(one for one in regrets if one.expected <= bound)
