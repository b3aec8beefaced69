"""Intervals, paired tests and sample sizes: how far a number measured on a few hundred rows can be trusted.

Every metric is a function of totals: each row adds a vector of `k` statistics (a mean: its value and 1;
micro F1: tp, fp, fn; chrF: n-gram counts), and the metric is computed from their sum.  So one bootstrap
serves all of them: a resample is a vector of row counts, and all resamples are one matrix product.

`inflation` says how many times as large the variance is as rows alone make it: n rows then count as
n / inflation of them.  Intervals are about its square root wider.

Confidence is 95 % throughout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Value = Callable[[Floats], Floats]  # totals (..., k) -> the metric (...)

ALPHA = 0.05
RESAMPLES = 2000
_CELLS = 4_000_000  # row counts held at once: 32 MB


class Interval(NamedTuple):
    """A number and its 95% interval; ``None`` where there is nothing to say."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """First minus second on the same rows."""

    value: float
    low: float | None  # None where one row, or none, is all there is
    high: float | None
    p_value: float
    spread: float  # standard deviation of one row's contribution, for `rows_needed`
    n: int


def mean_of(totals: Floats) -> Floats:
    """The mean, from totals of (value, 1)."""
    return np.asarray(totals[..., 0] / totals[..., 1], dtype=np.float64)


def mean_rows(values: ArrayLike) -> Floats:
    """Statistics (n, 2) of a mean over `values` (n)."""
    column = np.asarray(values, dtype=np.float64)
    return np.stack([column, np.ones_like(column)], axis=-1)


def by_row(rows: Floats, names: Sequence[str]) -> Floats:
    """The mean of those of `rows` (n, k) that have the same name, in the order of first appearance."""
    found, places = dict.fromkeys(names), np.empty(len(names), dtype=np.intp)
    at = {name: place for place, name in enumerate(found)}
    for i, name in enumerate(names):
        places[i] = at[name]
    totals = np.zeros((len(at), rows.shape[1]))
    np.add.at(totals, places, rows)
    return np.asarray(totals / np.bincount(places, minlength=len(at))[:, None])


def f1_of(totals: Floats) -> Floats:
    """F1 from totals (..., 3) of right, extra and missing; 1 where nothing was asked for and nothing said."""
    right, wrong = totals[..., 0], totals[..., 1] + totals[..., 2]
    some = right + wrong > 0  # less than one, where rows are weighted
    return np.asarray(np.where(some, 2 * right / np.where(some, 2 * right + wrong, 1), 1.0))


def mean_interval(values: ArrayLike, seed: int = 0, inflation: float = 1.0) -> Interval:
    """Mean of `values` with its interval: `wilson` if all are 0 or 1, else `interval`."""
    column = np.asarray(values, dtype=np.float64)
    if column.size and bool(np.isin(column, (0.0, 1.0)).all()):
        low, high = wilson(float(column.sum()), column.size, inflation)
        return Interval(float(column.mean()), low, high)
    return interval(mean_rows(column), mean_of, seed, inflation)


def wilson(successes: float, n: int, inflation: float = 1.0) -> tuple[float, float]:
    """Score interval of a share (Wilson 1927).

    Covers close to 95 % at every n and share, where the bootstrap and the textbook interval collapse
    near 0 and 1 (Brown, Cai & DasGupta 2001, Statistical Science 16(2)).  Written out, since scipy's takes
    whole numbers of rows.
    """
    z, k, m = _normal_reach(), successes / inflation, n / inflation
    centre = (k + z**2 / 2) / (m + z**2)
    reach = z * math.sqrt(k * (m - k) / m + z**2 / 4) / (m + z**2)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def interval(rows: Floats, value: Value, seed: int = 0, inflation: float = 1.0) -> Interval:
    """A metric with its bootstrap interval over rows. `rows` is (n, k).

    BCa, corrected for bias and skew (Efron 1987, JASA 82, 171-185) and expanded for small n as Student's t is
    (Hesterberg 2015, The American Statistician 69(4)).  One row has no interval.
    """
    n = len(rows)
    if n == 0:
        return Interval(None, None, None)
    found = float(value(rows.sum(axis=0)))
    if n == 1:
        return Interval(found, None, None)
    values = value(resampled(rows, seed))
    without = value(rows.sum(axis=0) - rows)  # the jackknife: every row left out once
    skew = without.mean() - without
    cubed, squared = float((skew**3).sum()), float((skew**2).sum())
    pull = cubed / (6 * squared**1.5) if squared > 0 else 0.0
    below = float((values < found).mean() + (values == found).mean() / 2)
    bias = float(_scipy().norm.ppf(min(max(below, 1 / RESAMPLES), 1 - 1 / RESAMPLES)))
    reach = np.array([1.0, -1.0]) * _reach(n, inflation) + bias
    low, high = np.quantile(values, _scipy().norm.cdf(bias + reach / (1 - pull * reach)))
    return Interval(found, float(low), float(high))


def resampled(rows: Floats, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Totals (resamples, k) of `rows` (n, k) drawn n at a time with replacement (Efron 1979)."""
    n = len(rows)
    rng = np.random.default_rng(seed)
    totals = np.empty((resamples, rows.shape[1]))
    step = max(1, _CELLS // n)
    for start in range(0, resamples, step):
        some = min(step, resamples - start)
        drawn = rng.integers(0, n, (some, n)) + np.arange(some)[:, None] * n
        counts = np.bincount(drawn.ravel(), minlength=some * n).reshape(some, n)
        totals[start : start + some] = counts.astype(np.float64) @ rows
    return totals


def _reach(n: int, inflation: float) -> float:
    """Where the lower tail begins, as a normal deviate: -1.96 for many rows, further out for few."""
    return float(_scipy().t.ppf(ALPHA / 2, n - 1)) * math.sqrt(inflation * n / (n - 1))


def _normal_reach() -> float:
    return -float(_scipy().norm.ppf(ALPHA / 2))


def paired_difference(
    first: Floats, second: Floats, value: Value, seed: int = 0, inflation: float = 1.0
) -> Difference:
    """How two rungs differ on the same rows, by the paired bootstrap (Koehn 2004, EMNLP).

    `first` and `second` are (n, k): the same resampled rows count for both.  The interval is the percentile
    one, expanded for small n (Hesterberg 2015); the p-value inverts it, so that it is below 0.05 just where
    the interval leaves 0 out.  The smallest p-value is near 2 / `RESAMPLES`.
    """
    n, k = first.shape
    if n == 0:
        raise ValueError("no rows in common")
    found = float(value(first.sum(axis=0)) - value(second.sum(axis=0)))
    if n == 1:
        return Difference(found, None, None, 1.0, 0.0, n)
    totals = resampled(np.concatenate([first, second], axis=1), seed)
    differences = value(totals[:, :k]) - value(totals[:, k:])
    tail = float(_scipy().norm.cdf(_reach(n, inflation)))
    low, high = (float(bound) for bound in np.quantile(differences, [tail, 1 - tail]))
    side = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    quantile = _scipy().norm.ppf((side + 1) / (len(differences) + 1))
    p_value = 2 * float(_scipy().t.cdf(quantile * math.sqrt((n - 1) / n / inflation), n - 1))
    spread = float(differences.std()) * math.sqrt(n * inflation)
    return Difference(found, low, high, min(1.0, p_value), spread, n)


def paired_shares(first: ArrayLike, second: ArrayLike) -> Difference:
    """How two rungs differ where every row is 0 or 1: `mcnemar`'s p-value and a Wald interval with half a
    row added to each cell of the 2x2 table (Agresti & Min 2005, Statistics in Medicine 24, 729-740).

    The interval stays honest where the rungs never disagree, which the bootstrap would call certain.
    """
    one, two = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    only_one, only_two = int((one & ~two).sum()), int((~one & two).sum())
    return _adjusted(only_one - only_two, only_one + only_two, one.size, mcnemar(only_one, only_two))


def paired_means(first: ArrayLike, second: ArrayLike, inflation: float = 1.0) -> Difference:
    """How two rungs differ where every row is a mean of zeros and ones: the interval of `paired_shares`, and
    the p-value that inverts it, so that it is below 0.05 just where the interval leaves 0 out."""
    apart = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    more, squared = float(apart.sum()) / inflation, float((apart**2).sum()) / inflation
    score = abs(more) / math.sqrt(squared + 1 - more**2 / (apart.size / inflation + 2))
    return _adjusted(more, squared, apart.size, 2 * float(_scipy().norm.cdf(-score)), inflation)


def _adjusted(more: float, squared: float, n: int, p_value: float, inflation: float = 1.0) -> Difference:
    """From the sum of `n` rows' differences and of their squares, as of n / inflation rows.

    Raises `ValueError` without rows.
    """
    if n == 0:
        raise ValueError("no rows in common")
    disagree, count = squared + 1, n / inflation + 2  # half a row more in each of four cells
    reach = _normal_reach() * math.sqrt(disagree - more**2 / count) / count
    centre = more / count
    return Difference(
        value=more * inflation / n,
        low=max(-1.0, centre - reach),
        high=min(1.0, centre + reach),
        p_value=p_value,
        spread=math.sqrt(inflation * disagree / count),
        n=n,
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value from the rows that only one of two rungs got right (McNemar 1947)."""
    if only_first + only_second == 0:
        return 1.0
    return float(_scipy().binomtest(only_first, only_first + only_second).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, in the order given (Holm 1979)."""
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def rows_needed(difference: float, spread: float, power: float = 0.8, alpha: float = ALPHA) -> int | None:
    """Rough number of rows on which a paired test would see `difference`; None for no difference.

    ``((z(1 - alpha/2) + z(power)) * spread / difference) ** 2``, with `spread` the standard deviation of a
    row's paired difference; for rows of 0 and 1 the root of the share of rows that differ (Connor 1987,
    Biometrics 43, 207-211, its simpler and larger form).
    """
    if difference == 0:
        return None
    reach = float(_scipy().norm.ppf(1 - alpha / 2) + _scipy().norm.ppf(power))
    return max(2, math.ceil((reach * spread / difference) ** 2))


def _scipy() -> Any:
    """Loaded on first use: commands that only read data do not wait for it."""
    from scipy import stats

    return stats
