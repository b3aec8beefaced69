"""How much the verdict's rule loses against the truth, by simulation, next to three other rules.

Truth is the accuracy of six rungs on a whole set of rows; a test set is drawn from it, each rule recommends a
rung from it, and its regret is how far that rung's true accuracy is behind the best.  Whole sets: correlated
answers with given accuracies, random ladders, and the real answers of rungs without a base on 1,000 reviews.
Also the coverage of the 95% intervals.  Run: ``python benchmarks/verdict.py [--data FOLDER] [--trials N]``
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from common import machine
from numpy.typing import NDArray
from scipy.stats import binom, norm

from rung.config import make_settings
from rung.evaluation import stats
from rung.ladder import regret
from rung.ladder.classical import constant, nearest, words
from rung.ladder.divide import divide, usable
from rung.ladder.understood import understand_data

HERE = Path(__file__).parent
REVIEWS = HERE.parents[1] / "shared" / "data" / "sentiment-reviews"
AT_FLOOR = "hardly above the floor"
RUNGS = ("constant", "words", "probe", "few-shot", "lora", "full")  # the cheapest first
SECONDS = (0.1, 1.0, 15.0, 60.0, 250.0, 775.0)  # what each takes, for the column of cost
SIZES = (30, 50, 100, 200, 500)
TOLERANCE = 0.01
DRAWS = 1000  # of the bootstrap; a climb takes 4,000
WHOLE = 20_000  # rows of a made-up set
LADDERS = {
    "tuning far ahead": (0.30, 0.60, 0.70, 0.62, 0.85, 0.86),
    "probe ahead": (0.20, 0.46, 0.56, 0.25, 0.50, 0.50),
    "one point apart": (0.50, 0.78, 0.79, 0.80, 0.81, 0.82),
    "all equal": (0.40, 0.80, 0.80, 0.80, 0.80, 0.80),
    "full tuning clearly best": (0.20, 0.50, 0.60, 0.50, 0.70, 0.90),
    "prompting is enough": (0.50, 0.70, 0.72, 0.85, 0.84, 0.85),
    AT_FLOOR: (0.72, 0.70, 0.73, 0.60, 0.75, 0.74),
}
Right = NDArray[np.bool_]  # (rows, rungs)


def made_up(accuracies: NDArray[np.float64], rng: np.random.Generator) -> Right:
    """Rows that are hard for one rung tend to be hard for all: a shared and an own normal deviate."""
    shared = rng.standard_normal((WHOLE, 1))
    own = rng.standard_normal((WHOLE, len(accuracies)))
    return np.asarray(np.sqrt(0.6) * shared + np.sqrt(0.4) * own < norm.ppf(accuracies))


def random_ladder(rng: np.random.Generator) -> NDArray[np.float64]:
    """A level for the data set, and for each rung how far it is from that."""
    found = rng.uniform(0.45, 0.85) + rng.normal((-0.2, -0.05, 0, -0.05, 0.02, 0.02), 0.05)
    return np.asarray(np.clip(found, 0.05, 0.98))


def reviews(folder: Path) -> Right:
    """Real answers: constant, nearest, and words on four numbers of train rows."""
    settings = make_settings({"label": "label", "prompt": "text", "test": str(folder / "test.csv")})
    rows = usable(divide(understand_data(folder / "train.csv", settings), settings))
    train, test, task = rows.split.train, rows.split.test, rows.task
    order = np.random.default_rng(0).permutation(len(train))
    some = [[train[i] for i in order[:n]] for n in (100, 300, 1000, len(train))]
    fits = [constant.fit(task, some[-1], ()), nearest.fit(task, some[-1], ())]
    fits += [words.fit(task, known, ()) for known in some]
    wanted = [one.target for one in test]
    columns = [[a.text == w for a, w in zip(fit.responder.answer(test), wanted, strict=True)] for fit in fits]
    return np.array(columns, dtype=bool).T


# --- the rules: right (n, rungs) -> the rung; the first rung is the floor ---------------------------------


def least_regret(right: Right, seed: int) -> int:
    rows = [stats.mean_rows(column) for column in right.T]
    values = regret.draws(rows, stats.mean_of, share=True, seed=seed, count=DRAWS)
    taken, _ = regret.choose([str(i) for i in range(len(rows))], values, [0], TOLERANCE)
    return int(taken.rung) if taken else 0


def not_worse(right: Right, seed: int) -> int:
    """The rule before: the cheapest that is not significantly worse than the best (McNemar, Holm)."""
    best = int(right.sum(axis=0).argmax())
    others = [i for i in range(right.shape[1]) if i != best]
    mine = right[:, [best]]
    only_best = (mine & ~right[:, others]).sum(axis=0)
    only_other = (~mine & right[:, others]).sum(axis=0)
    p = np.minimum(1, 2 * binom.cdf(np.minimum(only_best, only_other), only_best + only_other, 0.5))
    worse = {i for i, adjusted in zip(others, stats.holm(list(p)), strict=True) if adjusted < stats.ALPHA}
    return next((i for i in range(1, right.shape[1]) if i not in worse), 0)


def highest(right: Right, seed: int) -> int:
    return 1 + int(right[:, 1:].sum(axis=0).argmax())


def always_lora(right: Right, seed: int) -> int:
    return RUNGS.index("lora")


Rule = Callable[[Right, int], int]
RULES: dict[str, Rule] = {
    "least regret": least_regret,
    "not significantly worse": not_worse,
    "highest score": highest,
    "always LoRA": always_lora,
}


# --- the simulation -------------------------------------------------------------------------------------


def simulate(whole: Right, trials: int, seed: int) -> dict[int, dict[str, list[tuple[float, int]]]]:
    """For each size and rule, (regret, rung) of every trial."""
    truth = whole.mean(axis=0)
    rng = np.random.default_rng(seed)
    found: dict[int, dict[str, list[tuple[float, int]]]] = {}
    for size in SIZES:
        found[size] = {name: [] for name in RULES}
        for trial in range(trials):
            drawn = whole[rng.integers(0, len(whole), size)]  # (size, rungs)
            for name, rule in RULES.items():
                rung = rule(drawn, trial)
                found[size][name].append((100 * float(truth.max() - truth[rung]), rung))
    return found


def coverage(whole: Right, trials: int, seed: int) -> dict[int, tuple[list[bool], list[bool]]]:
    """For each size, whether the interval of a difference and that of a score hold the truth."""
    truth = whole.mean(axis=0)
    rng = np.random.default_rng(seed)
    found: dict[int, tuple[list[bool], list[bool]]] = {size: ([], []) for size in SIZES}
    for size in SIZES:
        for _ in range(trials):
            drawn = whole[rng.integers(0, len(whole), size)]
            one, two = (int(i) for i in rng.choice(whole.shape[1], 2, replace=False))
            gap = stats.paired_shares(drawn[:, one], drawn[:, two])
            score = stats.mean_interval(drawn[:, one])
            assert None not in (gap.low, gap.high, score.low, score.high)
            found[size][0].append(gap.low <= truth[one] - truth[two] <= gap.high)  # type: ignore[operator]
            found[size][1].append(score.low <= truth[one] <= score.high)  # type: ignore[operator]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REVIEWS, help="folder with train.csv and test.csv")
    parser.add_argument("--trials", type=int, default=120, help="test sets of each size and whole set")
    asked = parser.parse_args()
    start, rng = time.perf_counter(), np.random.default_rng(0)
    wholes = {name: made_up(np.array(levels), rng) for name, levels in LADDERS.items()}
    wholes["reviews (real answers)"] = reviews(asked.data)
    found = {name: simulate(whole, asked.trials, i) for i, (name, whole) in enumerate(wholes.items())}
    covered = [coverage(whole, asked.trials, 99 + i) for i, whole in enumerate(wholes.values())]
    few = max(1, asked.trials // 25)
    many = [simulate(made_up(random_ladder(rng), rng), few, 200 + i) for i in range(25)]
    found["25 random ladders"] = {
        size: {name: [one for each in many for one in each[size][name]] for name in RULES} for size in SIZES
    }
    sets = {name: summaries(one) for name, one in found.items()}
    record = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "seconds": round(time.perf_counter() - start, 1),
        "trials": asked.trials,
        "truth": {name: [round(float(v), 4) for v in whole.mean(axis=0)] for name, whole in wholes.items()},
        "mean": mean_of(list(sets.values())),
        "mean without the floor's set": mean_of([one for name, one in sets.items() if name != AT_FLOOR]),
        "sets": sets,
        "coverage": {
            str(size): {
                kind: float(np.mean([hit for one in covered for hit in one[size][i]]))
                for i, kind in enumerate(("difference", "score"))
            }
            for size in SIZES
        },
    }
    (HERE / "results" / "verdict.json").write_text(json.dumps(record, indent=1) + "\n")
    show(record)


KEYS = ("regret", "beyond", "cost")


Summary = dict[str, dict[str, dict[str, float]]]  # size, rule, key


def summaries(found: dict[int, dict[str, list[tuple[float, int]]]]) -> Summary:
    return {str(size): {rule: summary(trials) for rule, trials in one.items()} for size, one in found.items()}


def summary(trials: list[tuple[float, int]]) -> dict[str, float]:
    """Mean regret (points), its standard error, the mean of what exceeds the tolerance, mean cost (s)."""
    regrets = np.array([one for one, _ in trials])
    cost = np.array(SECONDS)[[rung for _, rung in trials]]
    return {
        "regret": float(regrets.mean()),
        "error": float(regrets.std() / len(regrets) ** 0.5),
        "beyond": float(np.maximum(regrets - 100 * TOLERANCE, 0).mean()),
        "cost": float(cost.mean()),
    }


def mean_of(sets: list[Summary]) -> Summary:
    return {
        str(size): {
            rule: {key: float(np.mean([one[str(size)][rule][key] for one in sets])) for key in KEYS}
            for rule in RULES
        }
        for size in SIZES
    }


def show(record: dict[str, Any]) -> None:
    """Of each rule and size: mean regret, what exceeds the tolerance, mean cost."""
    means = {name: record[name] for name in ("mean", "mean without the floor's set")}
    for name, one in {**means, **record["sets"]}.items():
        print(f"\n{name:28}" + "".join(f"{size:>22}" for size in SIZES))
        for rule in RULES:
            cells = (one[str(size)][rule] for size in SIZES)
            shown = (f"{c['regret']:8.2f} {c['beyond']:6.2f} {c['cost']:5.0f}s" for c in cells)
            print(f"  {rule:26}" + "".join(shown))
    print("\ncoverage", record["coverage"], f"\n{record['seconds']} s")


if __name__ == "__main__":
    main()
