"""How often the 95% intervals of a climb with several splits hold the truth, on real rows and rungs.

A small file is drawn from a large set, and split, fitted, answered and pooled as ``--splits 5`` does it.  The
truth is the expected score of a rung that learns from a file of that size: the mean score of all of its fits
of all trials on rows that are in none of the file.  Each interval is made twice, from rows alone and with
`rung.ladder.repeat.inflation`.  Part of ``python benchmarks/verdict.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rung.config import Settings, make_settings
from rung.data.split import split
from rung.evaluation.judging import judge
from rung.evaluation.metrics import METRICS, measures, primary_rows
from rung.ladder import regret, repeat
from rung.ladder.bench import Bench
from rung.ladder.classical import nearest, regression, words
from rung.ladder.classical.fitted import Fitted
from rung.ladder.classical.texts import whole_prompt
from rung.ladder.classical.tfidf import Tfidf
from rung.ladder.divide import divide, usable
from rung.ladder.understood import understand_data
from rung.records import Answer, Example, Result, Task

SIZES = (100,)  # rows of a file
SPLITS = 5
FRESH = 100  # rows outside the file that a fit is tried on, for the truth
DRAWS = 1000
USUAL = Settings()  # the shares of dev and test rows
Fit = Callable[[Task, Sequence[Example], Sequence[Example]], Any]
Bounds = dict[str, tuple[float, float]]  # of what -> the ends of its interval
ONE, ROWS, MORE = "one split", "five splits, rows alone", "five splits, with the term for training"


@dataclass(frozen=True)
class Pool:
    """Rows to draw files from, and two rungs to compare on them."""

    task: Task
    examples: tuple[Example, ...]
    fits: Mapping[str, Fit]


def reviews(data: Path) -> Pool:
    """Two labels, accuracy."""
    folder = data / "sentiment-reviews"
    settings = make_settings({"test": str(folder / "test.csv"), "label": "label", "prompt": "text"})
    return _pool(folder / "train.csv", settings, {"nearest": nearest.fit, "words": usual_words})


def intents(data: Path) -> Pool:
    """Requests and what they ask for: seven labels, accuracy."""
    rows = []
    for name in ("train.jsonl", "test.jsonl"):
        for line in (data / "extraction-snips" / name).read_text().splitlines():
            _, asked, answer = json.loads(line)["messages"]
            rows.append({"text": asked["content"], "label": json.loads(answer["content"])["intent"]})
    return _pool(rows, make_settings({}), {"nearest": nearest.fit, "words": usual_words})


def usual_words(task: Task, train: Sequence[Example], dev: Sequence[Example]) -> Fitted[words.Words]:
    """The rung `words` with its usual n-grams and C: choosing them takes ten times as long."""
    known = (*train, *dev)
    labels, truth = regression.labelled(task, known)
    texts = list(map(whole_prompt, known))
    tfidf = Tfidf.fit(texts, words.NGRAMS[next(iter(words.NGRAMS))])
    ((weights, bias),) = regression.fit(tfidf.transform(texts), truth, len(labels), [words.USUAL], 100)
    return Fitted(words.Words(tfidf, labels, weights, bias))


POOLS = {"reviews": reviews, "intents": intents}


def _pool(source: object, settings: Settings, fits: Mapping[str, Fit]) -> Pool:
    rows = usable(divide(understand_data(source, settings), settings))
    task = replace(rows.task, metrics=(rows.task.primary,))
    return Pool(task, (*rows.split.train, *rows.split.dev, *rows.split.test), fits)


def coverage(pool: Pool, size: int, trials: int, seed: int) -> dict[str, Any]:
    """How often each kind of interval holds the truth, for files of `size` rows."""
    rng, made, true = np.random.default_rng(seed), [], []
    for trial in range(trials):
        order = [pool.examples[i] for i in rng.permutation(len(pool.examples))[: size + FRESH]]
        tried, fresh = _tried(pool, order[:size], order[size:])
        true += fresh
        made.append(dict(_intervals(pool, tried, trial)))
    truth = {name: float(np.mean([one[name] for one in true])) for name in true[0]}
    one, two = pool.fits
    truth["difference"] = truth["draws"] = truth[two] - truth[one]
    found = {
        kind: {
            what: float(np.mean([each[kind][what][0] <= truth[what] <= each[kind][what][1] for each in made]))
            for what in made[0][kind]
        }
        for kind in made[0]
    }
    width = {kind: float(np.mean([np.ptp(each[kind]["difference"]) for each in made])) for kind in found}
    return {"trials": trials, "truth": truth, "holds": found, "width of the difference": width}


def _tried(
    pool: Pool, file: Sequence[Example], fresh: Sequence[Example]
) -> tuple[list[repeat.Tried], list[dict[str, float]]]:
    """Every split of `file` as a climb leaves it, and the scores of its fits on `fresh` rows."""
    task, tried, scores = pool.task, [], []
    results = tuple(Result(name, name, "ok", i, "", "") for i, name in enumerate(pool.fits))
    for number in range(SPLITS):
        parts = split(file, seed=number, dev_fraction=USUAL.dev_fraction, test_fraction=USUAL.test_fraction)
        answers: dict[str, tuple[Answer, ...]] = {}
        scored: dict[str, float] = {}
        for name, fit in pool.fits.items():
            responder = fit(task, parts.train, parts.dev).responder
            answers[name] = judge(task, parts.test, responder.answer(parts.test)).answers
            given = responder.answer(fresh)
            graded = judge(task, fresh, given).answers
            totals = primary_rows(task, fresh, graded, [one.text for one in given]).sum(axis=0)
            scored[name] = float(METRICS[task.primary].value(totals))
        tried.append(repeat.Tried(results, answers, parts.test, len(parts.train) + len(parts.dev)))
        scores.append(scored)
    return tried, scores


def _intervals(pool: Pool, tried: Sequence[repeat.Tried], seed: int) -> Iterator[tuple[str, Bounds]]:
    """Each kind of interval: of the scores, of their difference as it is shown and by the draws of regret."""
    first, pooled = tried[0], repeat.pool(tried, pool.task)
    yield ONE, _bounds(Bench(pool.task, first.examples, first.answers, seed))
    for kind, inflation in ((ROWS, 1.0), (MORE, pooled.inflation)):
        yield kind, _bounds(Bench(pool.task, pooled.examples, pooled.answers, seed, pooled.row_of, inflation))


def _bounds(bench: Bench) -> Bounds:
    found: Bounds = {}
    for name, answers in bench.answers.items():
        texts = [one.text for one in answers]
        (score,) = measures(
            bench.task, bench.examples, answers, texts, bench.seed, bench.row_of, bench.inflation
        )
        found[name] = (score.low or 0.0, score.high or 0.0)
    one, two = bench.answers
    pair = bench.compare(two, one)
    assert pair is not None
    found["difference"] = (pair.low or 0.0, pair.high or 0.0)
    board, metric = bench.board([one, two]), bench.metric
    values = regret.draws(
        board.given, metric.value, metric.share, bench.seed, DRAWS, bench.inflation
    )  # (2, draws)
    low, high = np.quantile(values[1] - values[0], [0.025, 0.975])
    found["draws"] = (float(low), float(high))
    return found


def run(data: Path, trials: int) -> dict[str, Any]:
    """For each set and size, what `coverage` gives."""
    found: dict[str, Any] = {}
    for i, (name, made) in enumerate(POOLS.items()):
        pool = made(data)
        found[name] = {str(size): coverage(pool, size, trials, 1000 + i) for size in SIZES}
    return found


def show(record: Mapping[str, Any]) -> None:
    """Of each set, size and kind of interval: how often it holds the truth."""
    print("\ncoverage over repeated splits")
    for name, sizes in record.items():
        for size, one in sizes.items():
            for kind, holds in one["holds"].items():
                cells = "  ".join(f"{what} {share:.3f}" for what, share in holds.items())
                print(f"  {name:8} {size:>4} rows  {kind:40} {cells}")
