"""Logistic regression on TF-IDF: the classifier that needs no language model.

N-grams and C are chosen by cross-validation on train and dev, then all of these rows are fitted.  What limits
the work is counted in numbers, never read off the clock, so the same rows and seed give the same model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rung.ladder.classical import fitted, regression
from rung.ladder.classical.fitted import Fitted
from rung.ladder.classical.texts import whole_prompt
from rung.ladder.classical.tfidf import CHARACTERS, WORD_PAIRS, WORDS, Tfidf, joined
from rung.records import Choice, Example, RungKind, Task

if TYPE_CHECKING:
    from rung.ladder.classical.tfidf import Matrix
    from rung.ladder.watch import Watcher

NAME, TITLE = "words", "TF-IDF and logistic regression"
KIND: RungKind = "classical"
NGRAMS = {
    "words 1-2, characters 2-5": (WORD_PAIRS, CHARACTERS),
    "characters 2-5": (CHARACTERS,),
    "words 1-2": (WORD_PAIRS,),
    "words": (WORDS,),
}
CS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # inverse strength of the penalty on squared weights
USUAL = 10.0  # C where the n-grams are chosen, or where there are too few rows for a choice
_CHOOSING_STEPS, _FEWEST_STEPS, _MOST_STEPS = 30, 10, 100  # of the solver
_WORK = 10_000_000_000  # of the last fit: numbers in the matrix times labels times steps; about 20 seconds
_WEIGHTS = 4_000_000  # numbers in a block of the model, about
_BATCH = 500  # rows scored at once

Floats = NDArray[np.float64]


def applies(task: Task) -> bool:
    """Whether the rung can be tried on `task`: where its answers are labels."""
    return bool(task.labels)


@dataclass(frozen=True)
class Words(regression.Classifier):
    """A multinomial logistic regression on TF-IDF."""

    tfidf: Tfidf
    labels: tuple[str, ...]
    weights: NDArray[np.float32]  # (labels, terms)
    bias: NDArray[np.float32]  # (labels,)

    def save(self, folder: Path) -> None:
        """Write terms and labels as JSON, weights as safetensors."""
        settings = {"tfidf": self.tfidf.as_json(), "labels": self.labels}
        arrays = {"weights": self.weights, "bias": self.bias}
        fitted.save(folder, NAME, settings, {**self.tfidf.arrays(), **arrays})

    def judge(self, examples: Sequence[Example], watcher: Watcher | None = None) -> tuple[Floats, list[int]]:
        """See `Classifier`."""
        found = scores(self.tfidf, (self.weights, self.bias), examples)
        return regression.log_softmax(found), [0] * len(examples)


def scores(
    tfidf: Tfidf, model: tuple[NDArray[np.float32], NDArray[np.float32]], examples: Sequence[Example]
) -> Floats:
    """What a linear `model`, weights (labels, terms) and bias (labels,), gives each: (examples, labels)."""
    weights, bias = model
    found = np.zeros((len(examples), len(weights)))
    for start in range(0, len(examples), _BATCH):
        texts = [whole_prompt(example) for example in examples[start : start + _BATCH]]
        found[start : start + _BATCH] = tfidf.transform(texts) @ weights.T + bias
    return found


def load(folder: Path) -> Words:
    """What `Words.save` wrote. Raises `ResumeError` where a file is missing or was changed."""
    settings, arrays = fitted.load(folder, NAME, tfidf=dict, labels=list)
    tfidf, labels = Tfidf.read(settings["tfidf"], arrays), tuple(settings["labels"])
    regression.require_fit(labels, arrays["weights"], arrays["bias"], tfidf.width)
    return Words(tfidf, labels, arrays["weights"], arrays["bias"])


def fit(task: Task, train: Sequence[Example], dev: Sequence[Example], seed: int = 0) -> Fitted[Words]:
    """Choose n-grams and C by cross-validation on train and dev, then fit all of their rows."""
    known = (*train, *dev)
    labels, truth = regression.labelled(task, known)
    texts = list(map(whole_prompt, known))
    tfidf = Tfidf.fit(texts, (WORDS, WORD_PAIRS, CHARACTERS), max(5_000, _WEIGHTS // len(labels)))
    parts = tfidf.parts(texts)
    chosen = _choose(task, known, labels, truth, parts, seed)
    tfidf = tfidf.only(NGRAMS[chosen.ngrams])
    matrix = joined(parts[name] for name in tfidf.blocks)
    steps = min(max(_WORK // max(matrix.nnz * len(labels), 1), _FEWEST_STEPS), _MOST_STEPS)
    weights, bias = regression.fit(matrix, truth, len(labels), [chosen.c], steps)[0]
    responder = Words(tfidf, labels, weights, bias)
    return Fitted(responder, chosen.choices, chosen.notes, weights.size + bias.size)


# --- choosing ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Chosen:
    ngrams: str
    c: float
    choices: tuple[Choice, ...] = ()
    notes: tuple[str, ...] = ()


def _choose(
    task: Task,
    known: Sequence[Example],
    labels: Sequence[str],
    truth: NDArray[np.int_],
    parts: Mapping[str, Matrix],
    seed: int,
) -> _Chosen:
    """N-grams first, then C; both by the task's metric on rows left out of the fit, log loss among equals."""
    rows = regression.sampled(known, len(labels), seed)
    folds = regression.folds_of([known[row] for row in rows], truth[rows], len(labels), seed)
    usual = next(iter(NGRAMS))
    empty = not any(part.nnz for part in parts.values())
    if empty or not regression.can_choose(labels, folds):
        return _Chosen(usual, USUAL, notes=(f"too few rows to choose n-grams and C: {usual}, C {USUAL:g}",))
    examples = [known[row] for row in rows]

    def tried(ngrams: str, cs: Sequence[float]) -> list[tuple[float, float]]:
        """For each C the metric and the mean log-probability of the right label; higher is better."""
        rotated = turned(joined(parts[name] for name in NGRAMS[ngrams])[rows])
        found = regression.left_out(rotated, truth[rows], len(labels), folds, cs, _CHOOSING_STEPS)
        return [regression.judged(task, examples, labels, truth[rows], scores) for scores in found]

    by_ngrams = {ngrams: tried(ngrams, [USUAL])[0] for ngrams in NGRAMS}
    ngrams = max(by_ngrams, key=by_ngrams.__getitem__)
    by_c = dict(zip(CS, tried(ngrams, CS), strict=True))
    c = max(by_c, key=by_c.__getitem__)
    shown = len(rows) < len(known)
    note = f"n-grams and C were chosen on {len(rows):,} of {len(known):,} rows" if shown else ""
    return _Chosen(
        ngrams,
        c,
        (
            Choice("n-grams", ngrams, {name: value for name, (value, _) in by_ngrams.items()}),
            Choice("C", f"{c:g}", {f"{one:g}": value for one, (value, _) in by_c.items()}),
        ),
        (note,) if note else (),
    )


def turned(matrix: Matrix) -> Floats:
    """The rows of `matrix` (n, terms) in their own coordinates, (n, at most n).

    Distances and angles stay, so a regression with a penalty on squared weights finds the same answers, in a
    fraction of the time where there are far more terms than rows.
    """
    products = (matrix @ matrix.T).toarray().astype(np.float64)  # (n, n)
    sizes, directions = np.linalg.eigh(products)
    kept = sizes > 1e-6 * max(sizes[-1], 1e-12)
    return np.asarray(directions[:, kept] * np.sqrt(sizes[kept]), dtype=np.float64)
