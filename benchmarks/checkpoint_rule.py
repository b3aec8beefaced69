"""Which rule keeps the better state of a training, and what stopping early costs, on simulated trainings.

A row is right where its margin is above 0, and its loss is log(1 + exp(-scale * margin)). The mean margin
rises over the six looks at dev, with a random walk for each row. Four kinds: the scale hardly grows
("learns"); the model gets more certain, right or wrong, so that the loss may rise while accuracy still does
("confident"); the same after an early plateau ("flat"); accuracy falls too ("overfits"). A rule sees `--rows`
rows at each look. Its regret is how far the true accuracy of the state that it keeps is behind that of the
best of the six, in points.
Run: ``python benchmarks/checkpoint_rule.py [--rows N] [--trials N]``; prints a table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rung.records import CurvePoint
from rung.train.best import is_best, is_over
from rung.train.optim import learning_rate

LOOKS, POPULATION = 6, 4000
KINDS = ("learns", "confident", "flat", "overfits")
Floats = NDArray[np.float64]  # (looks, rows)
Rule = Callable[[Floats, Floats], int]  # right, loss -> the look that is kept


def training(kind: str, draw: np.random.Generator) -> tuple[Floats, Floats]:
    """Right or not, and loss, of the whole population at each look."""
    time = np.linspace(0, 1, LOOKS)
    top, start = draw.uniform(0.8, 2.2), draw.uniform(-1.5, 0)
    speed = 12.0 if kind == "flat" else draw.uniform(2, 6)
    mean = start + (top - start) * (1 - np.exp(-speed * time)) / (1 - np.exp(-speed))
    if kind == "overfits":
        mean = mean - np.clip(time - draw.uniform(0.3, 0.7), 0, None) * draw.uniform(0.5, 2)
    scale = np.exp((draw.uniform(0, 0.5) if kind == "learns" else draw.uniform(0.5, 2)) * time)
    walk = np.cumsum(draw.normal(0, draw.uniform(0.15, 0.4), (LOOKS, POPULATION)), 0)
    margin = mean[:, None] + draw.normal(0, 1, POPULATION) + walk
    loss = np.log1p(np.exp(np.clip(-scale[:, None] * margin, -50, 50)))
    return (margin > 0).astype(np.float64), loss


def played(right: Floats, loss: Floats, rows: float | None, patience: int | None = None) -> tuple[int, int]:
    """The look that rung's rule keeps, and the last look. `rows` count as nothing; None: the loss alone."""
    rates = [
        None,
        *(learning_rate(round(100 * i / (LOOKS - 1)) - 1, 100, 1.0, 0.06) for i in range(1, LOOKS)),
    ]
    curve: list[CurvePoint] = []
    best = None
    for look in range(LOOKS):
        score = None if rows is None else float(right[look].mean())
        its = None if look == 0 else -float(look)  # the train loss falls
        curve.append(CurvePoint(look, 0, 0.0, its, float(loss[look].mean()), rates[look], score))
        if is_best(curve, best, (rows or 0.0) / right.shape[1]):
            best = look
        if look < LOOKS - 1 and is_over(curve, patience, 1.0):
            break
    assert best is not None
    return best, look


def within_errors(times: float) -> Rule:
    """The metric, and the loss among those within so many standard errors of the highest."""

    def rule(right: Floats, loss: Floats) -> int:
        share = right.mean(1)
        top = share.max()
        least = top - times * np.sqrt(max(top * (1 - top), 0.25 / right.shape[1]) / right.shape[1])
        return min(np.flatnonzero(share >= least).tolist(), key=lambda i: loss[i].mean())

    return rule


RULES: dict[str, Rule] = {
    "loss": lambda right, loss: int(loss.mean(1).argmin()),
    "metric, first of equals": lambda right, loss: int(right.mean(1).argmax()),
    "metric, ties by loss": lambda right, loss: played(right, loss, 0.0)[0],
    "metric by more than 1 row, else loss": lambda right, loss: played(right, loss, 1.0)[0],
    "metric by more than 2 rows, else loss": lambda right, loss: played(right, loss, 2.0)[0],
    "metric within 1 standard error, else loss": within_errors(1.0),
    "metric within 2 standard errors, else loss": within_errors(2.0),
    "last": lambda right, loss: LOOKS - 1,
    "1 row, stops early": lambda right, loss: played(right, loss, 1.0, 2)[0],
}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rows", type=int, default=64)
    asked.add_argument("--trials", type=int, default=1000)
    given = asked.parse_args()
    draw = np.random.default_rng(0)
    regret = {rule: dict.fromkeys(KINDS, 0.0) for rule in RULES}
    saved = dict.fromkeys(KINDS, 0.0)
    for kind in KINDS:
        for _ in range(given.trials):
            right, loss = training(kind, draw)
            true = right.mean(1)
            rows = draw.choice(POPULATION, given.rows, replace=False)
            for name, rule in RULES.items():
                kept = rule(right[:, rows], loss[:, rows])
                regret[name][kind] += 100 * (true.max() - true[kept]) / given.trials
            last = played(right[:, rows], loss[:, rows], 1.0, 2)[1]
            saved[kind] += 100 * (1 - last / (LOOKS - 1)) / given.trials
    print(f"{'points behind the best state':44}", *(f"{kind:>10}" for kind in (*KINDS, "mean")))
    for name, found in regret.items():
        values = [*found.values(), sum(found.values()) / len(found)]
        print(f"{name:44}", *(f"{value:10.2f}" for value in values))
    print(f"{'% of training saved by stopping early':44}", *(f"{value:10.1f}" for value in saved.values()))


if __name__ == "__main__":
    main()
