"""The true regret of the verdict's rule, by simulation, compared with three other rules.

The true scores are those of six rungs on a whole set of rows. A test set is drawn from it, each rule
recommends a rung from that, and its regret is how far that rung's true score is behind the best.  Whole sets:

- simulated: correlated right and wrong answers with given accuracies (eight ladders, and 40 random ones);
- real: what rungs without a base answered to 4,000 reviews (accuracy) and 3,400 requests (field F1).

Also: rungs that answered fewer rows than the others, and the coverage of the 95% intervals, with one test
set and with repeated splits (`splits`).
Run: ``python benchmarks/verdict.py [--data FOLDER] [--trials N] [--only rule|splits]``; writes
results/verdict.json, where the part that is not run stays as it was.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import splits
from common import machine
from scipy.stats import binom, norm

from rung.config import make_settings
from rung.evaluation import stats
from rung.evaluation.metrics import METRICS, grade, primary_rows
from rung.evaluation.stats import Floats
from rung.ladder import regret
from rung.ladder.classical import constant, nearest, words
from rung.ladder.classical.fitted import Fitted
from rung.ladder.divide import divide, usable
from rung.ladder.understood import understand_data
from rung.records import Example, Task

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "shared" / "data"
RUNGS = ("constant", "words", "probe", "few-shot", "lora", "full")  # the cheapest first, the floor before all
SECONDS = (0.1, 1.0, 15.0, 60.0, 250.0, 775.0)  # what each takes, for the column of cost
SIZES = (30, 50, 100, 200, 500)
TOLERANCE = 1.0  # points
DRAWS = 1000  # of the bootstrap; a climb takes 4,000
WHOLE = 20_000  # rows of a simulated set
FEW = 40  # rows that the two most expensive rungs answer, where they answer fewer than the others
ABOVE, BELOW = "hardly above the floor", "nothing above the floor"
LADDERS = {
    "tuning far ahead": (0.30, 0.60, 0.70, 0.62, 0.85, 0.86),
    "probe ahead": (0.20, 0.46, 0.56, 0.25, 0.50, 0.50),
    "one point apart": (0.50, 0.78, 0.79, 0.80, 0.81, 0.82),
    "all equal": (0.40, 0.80, 0.80, 0.80, 0.80, 0.80),
    "full tuning clearly best": (0.20, 0.50, 0.60, 0.50, 0.70, 0.90),
    "prompting is enough": (0.50, 0.70, 0.72, 0.85, 0.84, 0.85),
    ABOVE: (0.72, 0.70, 0.73, 0.60, 0.75, 0.74),
    BELOW: (0.72, 0.70, 0.71, 0.60, 0.69, 0.70),  # what is above it there is as far below it here
}


@dataclass(frozen=True)
class Whole:
    """Rungs and their statistics (n, k) on all rows there are; the first rung is the floor."""

    rows: tuple[Floats, ...]
    value: stats.Value = stats.mean_of
    share: bool = True
    made_up: bool = True  # the rungs are `RUNGS`

    @property
    def truth(self) -> Floats:
        """The score of each rung, in points."""
        return 100 * np.array([float(self.value(one.sum(axis=0))) for one in self.rows])

    def draw(self, size: int, rng: np.random.Generator) -> list[Floats]:
        """The same `size` rows of each rung, drawn with replacement: the whole set is the population."""
        places = rng.integers(0, len(self.rows[0]), size)
        return [one[places] for one in self.rows]


def made_up(accuracies: Floats, rng: np.random.Generator) -> Whole:
    """Rows that are hard for one rung tend to be hard for all: a shared and an own normal deviate."""
    shared = rng.standard_normal((WHOLE, 1))
    own = rng.standard_normal((WHOLE, len(accuracies)))
    right = np.sqrt(0.6) * shared + np.sqrt(0.4) * own < norm.ppf(accuracies)
    return Whole(tuple(stats.mean_rows(column) for column in right.T))


def random_ladder(rng: np.random.Generator) -> Floats:
    """A level for the data set, and for each rung how far it is from that."""
    found = rng.uniform(0.45, 0.85) + rng.normal((-0.2, -0.05, 0, -0.05, 0.02, 0.02), 0.05)
    return np.asarray(np.clip(found, 0.05, 0.98))


def reviews(folder: Path) -> Whole:
    """Real answers, right or wrong: constant, nearest, and words on four numbers of train rows."""
    task, train, test = _split(folder, ".csv", 1000, label="label", prompt="text")
    fits = [constant.fit(task, train, ()), nearest.fit(task, train, ())]
    return _answered(task, test, fits + [words.fit(task, train[:n], ()) for n in (100, 250, 500, 1000)])


def requests(folder: Path) -> Whole:
    """Real answers whose metric is no mean over rows: constant, and nearest on five numbers of rows."""
    task, train, test = _split(folder, ".jsonl", 1200)
    fits = [constant.fit(task, train, ())]
    return _answered(task, test, fits + [nearest.fit(task, train[:n], ()) for n in (30, 100, 300, 600, 1200)])


def _split(folder: Path, end: str, known: int, **asked: Any) -> tuple[Task, list[Example], list[Example]]:
    """`known` of the rows of both files to learn from, and all others to be tested on."""
    settings = make_settings({"test": str(folder / f"test{end}"), **asked})
    rows = usable(divide(understand_data(folder / f"train{end}", settings), settings))
    every = [*rows.split.train, *rows.split.dev, *rows.split.test]
    order = np.random.default_rng(0).permutation(len(every))
    return rows.task, [every[i] for i in order[:known]], [every[i] for i in order[known:]]


def _answered(task: Task, test: Sequence[Example], fits: Sequence[Fitted[Any]]) -> Whole:
    metric, found = METRICS[task.primary], []
    for fit in fits:
        answers = fit.responder.answer(test)
        scores = [grade(task, row, one) for row, one in zip(test, answers, strict=True)]
        found.append(primary_rows(task, test, scores, [one.text for one in answers]))
    return Whole(tuple(found), metric.value, metric.share, made_up=False)


# --- the rules: statistics (n, k) of each rung -> the place of one; 0 (the floor) is no recommendation ----


def least_regret(rows: Sequence[regret.Given], whole: Whole, seed: int) -> int:
    values = regret.draws(rows, whole.value, whole.share, seed, DRAWS)
    taken, _ = regret.choose([str(i) for i in range(len(rows))], values, [0], TOLERANCE / 100)
    return int(taken.rung) if taken else 0


def not_worse(rows: Sequence[Floats], whole: Whole, seed: int) -> int:
    """The rule before: the cheapest that is not significantly worse than the best (Holm)."""
    best = int(np.argmax(_scores(rows, whole)))
    others = [i for i in range(len(rows)) if i != best]
    if whole.share:  # exact McNemar, as `stats.mcnemar`
        mine, theirs = rows[best][:, [0]] > 0, np.stack([rows[i][:, 0] > 0 for i in others], axis=1)
        one, two = (mine & ~theirs).sum(axis=0), (~mine & theirs).sum(axis=0)
        p = list(np.minimum(1, 2 * binom.cdf(np.minimum(one, two), one + two, 0.5)))
    else:
        p = [stats.paired_difference(rows[best], rows[i], whole.value, seed).p_value for i in others]
    worse = {i for i, adjusted in zip(others, stats.holm(p), strict=True) if adjusted < stats.ALPHA}
    return next((i for i in range(1, len(rows)) if i not in worse), 0)


def highest(rows: Sequence[Floats], whole: Whole, seed: int) -> int:
    return 1 + int(np.argmax(_scores(rows, whole)[1:]))


def always_lora(rows: Sequence[Floats], whole: Whole, seed: int) -> int:
    return RUNGS.index("lora")


def _scores(rows: Sequence[Floats], whole: Whole) -> Floats:
    return np.array([float(whole.value(one.sum(axis=0))) for one in rows])


OURS, OLD, HIGHEST, LORA = "least regret", "not significantly worse", "highest score", "always LoRA"
Rule = Callable[[Sequence[Any], Whole, int], int]
RULES: dict[str, Rule] = {OURS: least_regret, OLD: not_worse, HIGHEST: highest, LORA: always_lora}
Trials = dict[int, dict[str, list[tuple[float, int]]]]  # size, rule -> (regret, rung) of each trial
Summary = dict[str, dict[str, dict[str, float]]]  # size, rule, key


# --- the simulation -------------------------------------------------------------------------------------


def simulate(whole: Whole, trials: int, seed: int) -> Trials:
    """Regret and rung of every trial; rung names mean nothing where the answers are real."""
    truth, rng = whole.truth, np.random.default_rng(seed)
    rules = {name: rule for name, rule in RULES.items() if whole.made_up or name != LORA}
    found: Trials = {size: {name: [] for name in rules} for size in SIZES}
    for size in SIZES:
        for trial in range(trials):
            drawn = whole.draw(size, rng)
            for name, rule in rules.items():
                rung = rule(drawn, whole, trial)
                found[size][name].append((float(truth.max() - truth[rung]), rung))
    return found


def fewer_rows(whole: Whole, trials: int, seed: int) -> dict[int, dict[str, float]]:
    """Mean regret where the two most expensive rungs answered `FEW` rows and the others all of them."""
    truth, rng = whole.truth, np.random.default_rng(seed)
    found: dict[int, dict[str, float]] = {}
    for size in (100, 200, 500):
        taken: dict[str, list[float]] = {}
        for trial in range(trials):
            drawn = whole.draw(size, rng)
            some, cheap = [one[:FEW] for one in drawn], drawn[:4]
            base = int(np.argmax(_scores(cheap, whole)))
            parts = [regret.Part(np.arange(FEW), some[i], some[base], base) for i in (4, 5)]
            own = [*cheap, *some[4:]]
            for name, rung in (
                ("each on the rows it has, by differences", least_regret([*cheap, *parts], whole, trial)),
                ("all on the rows of all", least_regret(some, whole, trial)),
                ("highest score, each on the rows it has", highest(own, whole, trial)),
            ):
                taken.setdefault(name, []).append(float(truth.max() - truth[rung]))
        found[size] = {name: float(np.mean(one)) for name, one in taken.items()}
    return found


def coverage(whole: Whole, trials: int, seed: int) -> dict[int, tuple[float, float]]:
    """For each size, how often the interval of a difference and that of a score hold the truth."""
    truth, rng = whole.truth / 100, np.random.default_rng(seed)
    found: dict[int, tuple[float, float]] = {}
    for size in SIZES:
        hits = []
        for trial in range(trials):
            drawn = whole.draw(size, rng)
            one, two = (int(i) for i in rng.choice(len(drawn), 2, replace=False))
            if whole.share:
                gap = stats.paired_shares(drawn[one][:, 0], drawn[two][:, 0])
                score = stats.mean_interval(drawn[one][:, 0])
            else:
                gap = stats.paired_difference(drawn[one], drawn[two], whole.value, trial)
                score = stats.interval(drawn[one], whole.value, trial)
            inside = [(gap.low, truth[one] - truth[two], gap.high), (score.low, truth[one], score.high)]
            hits.append([low is not None and low <= true <= (high or 0.0) for low, true, high in inside])
        difference, level = np.mean(hits, axis=0)
        found[size] = (float(difference), float(level))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--trials", type=int, default=200, help="test sets of each size and whole set")
    parser.add_argument("--only", choices=("rule", "splits"), help="the part to run; both if not given")
    asked = parser.parse_args()
    file = HERE / "results" / "verdict.json"
    record = json.loads(file.read_text()) if file.exists() else {}
    if asked.only != "splits":
        record |= rule(asked.data, asked.trials)
    if asked.only != "rule":
        record |= repeated(asked.data, asked.trials)
    file.write_text(json.dumps(record, indent=1) + "\n")
    show(json.loads(json.dumps(record)))


def repeated(data: Path, trials: int) -> dict[str, Any]:
    """The part about repeated splits."""
    start = time.perf_counter()
    found = splits.run(data, trials)
    about = {"date": datetime.now(UTC).date().isoformat(), "machine": machine()}
    return {"splits": {**about, "sets": found, "seconds": round(time.perf_counter() - start, 1)}}


def rule(data: Path, trials: int) -> dict[str, Any]:
    """The part about the rule."""
    start, rng = time.perf_counter(), np.random.default_rng(0)
    wholes = {name: made_up(np.array(levels), rng) for name, levels in LADDERS.items()}
    wholes["reviews (real)"] = reviews(data / "sentiment-reviews")
    wholes["requests (real)"] = requests(data / "extraction-snips")
    found = {name: simulate(whole, trials, i) for i, (name, whole) in enumerate(wholes.items())}
    few = max(1, trials // 40)
    many = [simulate(made_up(random_ladder(rng), rng), few, 200 + i) for i in range(40)]
    found["40 random ladders"] = {
        size: {name: [one for each in many for one in each[size][name]] for name in RULES} for size in SIZES
    }
    sets = {name: summaries(one, name not in wholes or wholes[name].made_up) for name, one in found.items()}
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "trials": trials,
        "rows": {name: len(whole.rows[0]) for name, whole in wholes.items()},
        "truth": {name: [round(float(v), 2) for v in whole.truth] for name, whole in wholes.items()},
        "mean": mean_of(list(sets.values())),
        "mean without the floor's two": mean_of([v for k, v in sets.items() if k not in (ABOVE, BELOW)]),
        "sets": sets,
        "fewer rows": {
            name: fewer_rows(whole, trials, 50 + i)
            for i, (name, whole) in enumerate(wholes.items())
            if whole.made_up
        },
        "coverage": {name: coverage(whole, trials, 99 + i) for i, (name, whole) in enumerate(wholes.items())},
        "seconds": round(time.perf_counter() - start, 1),
    }


def summaries(found: Trials, costs: bool) -> Summary:
    """Of each size and rule: mean regret (points), how far it is behind "highest score", and the standard
    error of that; what exceeds the tolerance; the mean cost (s) where `costs` are known."""
    return {
        str(size): {rule: _summary(taken, one[HIGHEST], costs) for rule, taken in one.items()}
        for size, one in found.items()
    }


def _summary(taken: list[tuple[float, int]], other: list[tuple[float, int]], costs: bool) -> dict[str, float]:
    regrets, best = np.array([one for one, _ in taken]), np.array([one for one, _ in other])
    behind = regrets - best
    made = {
        "regret": float(regrets.mean()),
        "behind": float(behind.mean()),
        "error": float(behind.std() / len(behind) ** 0.5),
        "beyond": float(np.maximum(regrets - TOLERANCE, 0).mean()),
    }
    return made | ({"cost": float(np.mean([SECONDS[rung] for _, rung in taken]))} if costs else {})


def mean_of(sets: list[Summary]) -> Summary:
    """Each set counts the same; the error is that of the mean of independent sets."""
    made: Summary = {}
    for size in map(str, SIZES):
        made[size] = {}
        for rule in RULES:
            there = [one[size][rule] for one in sets if rule in one[size]]
            cell = {
                key: float(np.mean([one[key] for one in there if key in one]))
                for key in ("regret", "behind", "beyond", "cost")
            }
            cell["error"] = float(np.sqrt(sum(one["error"] ** 2 for one in there)) / len(there))
            made[size][rule] = cell
    return made


def show(record: dict[str, Any]) -> None:
    """Of each rule and size: mean regret, behind the highest score, mean cost."""
    means = {name: record[name] for name in ("mean", "mean without the floor's two")}
    for name, one in {**means, **record["sets"]}.items():
        print(f"\n{name:28}" + "".join(f"{size:>24}" for size in SIZES))
        for rule in RULES:
            cells = [one[str(size)][rule] for size in SIZES if rule in one[str(size)]]
            shown = (
                f"{c['regret']:7.2f} {c['behind']:+6.2f}±{c['error']:.2f} {c.get('cost', 0):4.0f}s"
                for c in cells
            )
            print(f"  {rule:26}" + "".join(shown))
    print("\nfewer rows")
    for name, one in record["fewer rows"].items():
        print(f"  {name:26}", {size: [round(v, 2) for v in cell.values()] for size, cell in one.items()})
    print("\ncoverage")
    for name, one in record["coverage"].items():
        print(f"  {name:26}", {size: [round(v, 3) for v in cell] for size, cell in one.items()})
    print(f"\n{record['seconds']} s")
    if "splits" in record:
        splits.show(record["splits"]["sets"])


if __name__ == "__main__":
    main()
