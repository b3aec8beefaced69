"""Are forecasts of tuned scores honest? Simulated learning curves, of other kinds than the forecast draws.

A training on the share D of the rows scores curve(D), off by a normal deviate of `NOISE` logits, and is
measured on so many dev rows. For each kind of curve and each plan of short trainings, on 200 curves:

- coverage: how often the 80% interval holds the score of the full training;
- of the rungs that `rung.ladder.hopeless` would leave out, with bars drawn between the floor and 1, how many
  would have won, and how many of those that lose are left out.

Run: ``python benchmarks/learning_curves.py [--trials N]``; writes results/learning_curves.json. Takes
minutes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from common import RESULTS
from scipy.special import expit, logit

from rung.ladder.bar import error_of
from rung.ladder.hopeless import hopeless
from rung.ladder.learning_curve import forecast, with_chance
from rung.records import Point

NOISE = 0.15  # logits between two trainings
BARS, BAR_ERROR = 8, 0.03  # bars for each curve, and their standard error
PLANS = {
    "3 to 50% of the rows, 64 dev rows": ((1 / 32, 1 / 8, 1 / 2), 64),
    "12 to 50%, 400": ((1 / 8, 1 / 4, 1 / 2), 400),
    "6 to 25%, 64": ((1 / 16, 1 / 8, 1 / 4), 64),
    "1 to 5%, 32": ((1 / 80, 1 / 40, 1 / 20), 32),
    "2 and 5%, 32": ((1 / 40, 1 / 20), 32),
}
Curve = Callable[[float], float]


def stretched(rng: np.random.Generator) -> Curve:
    """An exponential approach: 1 - exp(-(D / d)^g)."""
    start, end, half, power = drawn(rng)
    return lambda share: start + (end - start) * (1 - np.exp(-((share / half) ** power)))


def gompertz(rng: np.random.Generator) -> Curve:
    """exp(-(D / d)^-g)."""
    start, end, half, power = drawn(rng)
    return lambda share: start + (end - start) * np.exp(-((share / half) ** -power))


def arctan(rng: np.random.Generator) -> Curve:
    """2 / pi arctan((D / d)^g)."""
    start, end, half, power = drawn(rng)
    return lambda share: start + (end - start) * 2 / np.pi * np.arctan((share / half) ** power)


def late(rng: np.random.Generator) -> Curve:
    """Hardly anything for long, then a steep rise: D^3 / (d^3 + D^3), as steep as the forecast draws any."""
    start, end, half, _ = drawn(rng)
    return lambda share: start + (end - start) / (1 + (share / half) ** -3)


def drawn(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Scores without training and with endless training, the share of the rows where it turns, the power."""
    start = rng.uniform(0, 0.5)
    return start, rng.uniform(start, 1), float(np.exp(rng.uniform(-4.5, 0.7))), rng.uniform(0.5, 1.3)


def tried(kind: Callable[[np.random.Generator], Curve], plan: str, trials: int) -> dict[str, Any]:
    """The counts of one kind of curve and one plan."""
    rng, (shares, rows) = np.random.default_rng(5), PLANS[plan]
    inside = above = left_out = wrong = losing = 0
    widths = []
    for seed in range(trials):
        curve = kind(rng)

        def trained(share: float, curve: Curve = curve) -> float:
            off = NOISE * rng.standard_normal()
            return float(expit(logit(np.clip(curve(share), 0.002, 0.998)) + off))

        points = []
        for share in shares:
            score = rng.binomial(rows, trained(share)) / rows
            points.append(Point(share, score, error_of(score, rows, 1.0)))
        found, truth, floor = forecast(points, 1.0, seed=seed), trained(1.0), float(curve(1e-9))
        inside += found.low <= truth <= found.high
        above += truth > found.high
        widths.append(found.high - found.low)
        for bar in rng.uniform(floor, 1, BARS):
            losing += truth < bar
            if hopeless(with_chance(found, "bar", bar, error=BAR_ERROR), floor):
                left_out += 1
                wrong += truth > bar
    return {
        "coverage": inside / trials,
        "above": above / trials,
        "width": float(np.mean(widths)),
        "left out": left_out,
        "left out wrongly": wrong / left_out if left_out else None,
        "losers left out": (left_out - wrong) / losing,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=200)
    trials = parser.parse_args().trials
    found: dict[str, dict[str, Any]] = {}
    for plan in PLANS:
        found[plan] = {
            kind.__name__: tried(kind, plan, trials) for kind in (stretched, gompertz, arctan, late)
        }
        for name, one in found[plan].items():
            wrong = one["left out wrongly"]
            print(
                f"{plan}, {name}: coverage {one['coverage']:.0%}, width {one['width']:.2f}; left out "
                f"{one['losers left out']:.0%} of those that lose; of all left out "
                f"{'-' if wrong is None else f'{wrong:.1%}'} would have won"
            )
    record = {
        "title": "Forecasts of simulated learning curves",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "trials": trials,
        "noise": NOISE,
        "found": found,
    }
    (RESULTS / "learning_curves.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
