"""How high a score will rise with more training, from a few short trainings: a curve with its uncertainty.

With s the score as a share of its bound, e = 1 - s the error and D the amount of training, the curves are

    rectified  e = E + (e0 - E) / (1 + (D / H)^k)      Lin et al. 2024, arXiv 2402.02314: B / (D_l + D^k) + E
                                                        with D_l = H^k and B = (e0 - E) H^k
    power      e = E + (e0 - E) (1 + D / H)^-k          Hestness et al. 2017, arXiv 1712.00409, with what the
                                                        base already knows as H
    logistic   logit s = logit s0 + k log(1 + D / H)
    flat       s = s0                                   training changes nothing

Three to five points do not decide between them, nor fix their four parameters. So many curves of each kind
are drawn from a prior, and each counts by how likely it makes the points. What is read off is a mixture of
all of them: the uncertainty of kind and parameters is in it. `MISFIT` is how far a training may be from its
curve, which also covers that another seed gives another score; it grows with the distance to the points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import norm

from rung.records import Forecast, Point

Floats = NDArray[np.float64]
DRAWS = 16_384  # curves of each kind
PRIOR = {"rectified": 0.40, "power": 0.26, "logistic": 0.26, "flat": 0.08}
MISFIT = 0.2  # of a point, in logits: 5 points of accuracy at 50 %, 2 at 90 %
FURTHER = 0.25  # is added for each factor e between the largest training and the forecast
PROBE = 1.0  # logits between what a probe scores and what tuning does: -0.4, 0.6 and -0.8 measured
CHANCES = (0.99, 0.975, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.025, 0.01)
_LOW, _MIDDLE, _HIGH = CHANCES.index(0.9), CHANCES.index(0.5), CHANCES.index(0.1)
_FEWEST = 300  # curves that must count, or the points are believed less
_EDGE = 1e-4  # scores are kept so far from 0 and from their bound


def forecast(
    points: Sequence[Point], at: float, *, bound: float = 1.0, seed: int = 0, probe: float | None = None
) -> Forecast:
    """The score after training on the amount `at`, with its 80% interval.

    `points` are of trainings on growing amounts; one with amount 0 is the base without tuning. `bound` is the
    highest score there is: 1 for a share, 100 for chrF and BLEU. `probe`, if given, is what a probe on hidden
    states scores: tuning ends up near it, more or less. The same points and seed give the same forecast.
    Raises `ValueError` without points, or for one that cannot be.
    """
    if not points or at <= 0:
        raise ValueError("a forecast needs a point, and an amount above 0")
    for one in points:
        if one.amount < 0 or one.error < 0 or not 0 <= one.score <= bound:
            raise ValueError(f"{one} is no point of a curve between 0 and {bound:g}")
    ordered = sorted(points, key=lambda point: point.amount)
    rng = np.random.default_rng(seed)
    amounts = np.array([point.amount for point in ordered] + [at])
    drawn = np.concatenate([_curves(kind, amounts, rng) for kind in PRIOR])  # (curves, points + 1)
    prior = np.repeat([np.log(share / DRAWS) for share in PRIOR.values()], DRAWS)
    likely = prior + _likelihood(drawn[:, :-1], ordered, bound)
    ends = logit(drawn[:, -1])
    if probe is not None:
        near = float(logit(np.clip(probe / bound, _EDGE, 1 - _EDGE)))
        likely += norm.logpdf(ends, near, PROBE)
    furthest = max(ordered[-1].amount, _least(amounts))
    spread = np.hypot(MISFIT, FURTHER * max(0.0, float(np.log(at / furthest))))
    found = expit(ends + spread * rng.standard_normal(len(ends)))
    levels = bound * _quantiles(found, _weights(likely), 1 - np.array(CHANCES))
    numbers = tuple(float(level) for level in levels)
    return Forecast(numbers[_MIDDLE], numbers[_LOW], numbers[_HIGH], levels=numbers, points=tuple(ordered))


def chance_above(found: Forecast, score: float, *, error: float = 0.0, bound: float = 1.0) -> float:
    """The chance that the forecast score is above `score`, whose standard error is `error`.

    Between the levels of the forecast it is linear, and 0 and `bound` are where it ends.
    """
    levels = np.array([0.0, *found.levels, bound])
    chances = np.array([1.0, *CHANCES, 0.0])
    middle = (np.arange(99) + 0.5) / 99
    asked = score + error * norm.ppf(middle)  # (99,), each as likely
    return float(np.interp(asked, levels, chances).mean())


def with_chance(
    found: Forecast, best: str, bar: float, *, error: float = 0.0, bound: float = 1.0
) -> Forecast:
    """The forecast with its chance of more than `bar`, the score of the rung `best`."""
    return replace(found, best=best, bar=bar, chance=chance_above(found, bar, error=error, bound=bound))


def _least(amounts: Floats) -> float:
    """The smallest amount above 0."""
    return float(amounts[amounts > 0].min())


def _curves(kind: str, amounts: Floats, rng: np.random.Generator) -> Floats:
    """Scores (DRAWS, amounts) of curves drawn from the prior of one kind, as shares of the bound."""
    first, second, third, fourth = rng.random((4, DRAWS, 1))
    least, most = _least(amounts), float(amounts.max())
    if kind == "flat":
        shares = np.broadcast_to(first, (DRAWS, len(amounts)))
    elif kind == "logistic":
        slope = 0.6 * np.abs(norm.ppf(second))
        shares = expit(2 * norm.ppf(first) + slope * np.log1p(amounts / _between(least / 100, most, third)))
    else:
        start, end = first, first * second  # errors without training and with endless training
        if kind == "power":
            half = _between(least / 100, most, third)
            left = (1 + amounts / half) ** -_between(0.05, 1.5, fourth)
        else:
            half = _between(least / 10, 10 * most, third)
            left = 1 / (1 + (amounts / half) ** _between(0.3, 3, fourth))
        shares = 1 - (end + (start - end) * left)
    found: Floats = np.clip(shares, _EDGE, 1 - _EDGE)
    return found


def _between(low: float, high: float, share: Floats) -> Floats:
    """Values between `low` and `high`, evenly spread by their logarithm; `share` is from 0 to 1."""
    found: Floats = low * (high / low) ** share
    return found


def _likelihood(scores: Floats, points: Sequence[Point], bound: float) -> Floats:
    """Log-likelihood (curves,) of the points under curves with these scores (curves, points)."""
    seen = np.array([point.score for point in points]) / bound
    noise = np.array([point.error for point in points]) / bound
    variance = noise**2 + (MISFIT * scores * (1 - scores)) ** 2 + _EDGE**2
    found: Floats = -0.5 * ((seen - scores) ** 2 / variance + np.log(variance)).sum(axis=1)
    return found


def _weights(likely: Floats) -> Floats:
    """Weights (curves,) that add up to 1. Where too few curves would count, all likelihoods are flattened."""
    while True:
        weights: Floats = np.exp(likely - likely.max())
        weights /= weights.sum()
        if 1 / np.square(weights).sum() >= _FEWEST:
            return weights
        likely = 0.8 * likely


def _quantiles(values: Floats, weights: Floats, levels: Floats) -> Floats:
    """Weighted quantiles of `values` at `levels` (from 0 to 1)."""
    order = np.argsort(values)
    found: Floats = np.interp(levels, np.cumsum(weights[order]) - weights[order] / 2, values[order])
    return found
