"""TF-IDF and logistic regression where a row has several labels: one against the rest each.

N-grams, C and the threshold are chosen by cross-validation on train and dev, then all rows are fitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rung import storage
from rung.evaluation.tasks.multi_label import labels_of
from rung.ladder.classical import fitted, one_vs_rest, regression, words
from rung.ladder.classical.fitted import Fitted
from rung.ladder.classical.one_vs_rest import Floats
from rung.ladder.classical.texts import whole_prompt
from rung.ladder.classical.tfidf import CHARACTERS, WORD_PAIRS, WORDS, Tfidf, joined
from rung.ladder.responder import Responder
from rung.records import Choice, Example, Task, from_json, to_json

if TYPE_CHECKING:
    from rung.ladder.classical.tfidf import Matrix
    from rung.ladder.watch import Watcher

_WEIGHTS = 2_000_000  # numbers in a block of the model, about
_STEPS, _CHOOSING_STEPS = 100, 30  # of the solver


def applies(task: Task) -> bool:
    """Whether the rung can be tried on `task`: where its answers are labels, one or several."""
    return words.applies(task) or bool(labels_of(task))


@dataclass(frozen=True)
class WordSets(one_vs_rest.SetClassifier):
    """Logistic regressions on TF-IDF; see `SetClassifier`."""

    task: Task
    tfidf: Tfidf
    labels: tuple[str, ...]
    share: float
    weights: NDArray[np.float32]  # (labels, terms)
    bias: NDArray[np.float32]  # (labels,)

    def save(self, folder: Path) -> None:
        """Write terms, labels and threshold as JSON, weights as safetensors."""
        settings = {
            "tfidf": self.tfidf.as_json(),
            "labels": self.labels,
            "share": self.share,
            "task": to_json(self.task),
        }
        arrays = {"weights": self.weights, "bias": self.bias}
        fitted.save(folder, words.NAME, settings, {**self.tfidf.arrays(), **arrays})

    def judge(self, examples: Sequence[Example], watcher: Watcher | None = None) -> tuple[Floats, list[int]]:
        """See `SetClassifier`."""
        return words.scores(self.tfidf, (self.weights, self.bias), examples), [0] * len(examples)


def load(folder: Path) -> Responder:
    """What `WordSets.save` or `Words.save` wrote. Raises `ResumeError` for a damaged file."""
    if "share" not in storage.read_object(folder / fitted.SETTINGS, rung=str):
        return words.load(folder)
    settings, arrays = fitted.load(folder, words.NAME, tfidf=dict, labels=list, share=float, task=dict)
    tfidf, labels = Tfidf.read(settings["tfidf"], arrays), tuple(settings["labels"])
    regression.require_fit(labels, arrays["weights"], arrays["bias"], tfidf.width)
    fitted.require_fit(0 < settings["share"] < 1)
    task = from_json(Task, settings["task"], fitted.SETTINGS)
    return WordSets(task, tfidf, labels, settings["share"], arrays["weights"], arrays["bias"])


def fit(task: Task, train: Sequence[Example], dev: Sequence[Example], seed: int = 0) -> Fitted[Responder]:
    """Fit the rows of train and dev: sets of labels here, single labels as `words.fit` does."""
    if words.applies(task):
        return words.fit(task, train, dev, seed)
    known = (*train, *dev)
    labels, truth = one_vs_rest.several(task, known)
    texts = list(map(whole_prompt, known))
    tfidf = Tfidf.fit(texts, (WORDS, WORD_PAIRS, CHARACTERS), max(5_000, _WEIGHTS // max(1, len(labels))))
    chosen = _choose(task, known, labels, truth, tfidf.parts(texts), seed)
    tfidf = tfidf.only(words.NGRAMS[chosen.ngrams])
    parts = tfidf.parts(texts)
    weights, bias = next(
        one_vs_rest.fit(joined(parts[name] for name in tfidf.blocks), truth, [chosen.c], _STEPS)
    )
    responder = WordSets(task, tfidf, labels, chosen.share, weights, bias)
    return Fitted(responder, chosen.choices, chosen.notes, weights.size + bias.size)


@dataclass(frozen=True, slots=True)
class _Chosen:
    ngrams: str
    c: float
    share: float
    choices: tuple[Choice, ...] = ()
    notes: tuple[str, ...] = ()


def _choose(
    task: Task,
    known: Sequence[Example],
    labels: Sequence[str],
    truth: one_vs_rest.Bits,
    parts: Mapping[str, Matrix],
    seed: int,
) -> _Chosen:
    """N-grams first, then C, each with its best threshold, by the task's metric on rows left out."""
    rows = regression.sampled(known, len(labels), seed)
    examples = [known[row] for row in rows]
    folds = one_vs_rest.folds_of(examples, truth[rows], seed)
    usual = next(iter(words.NGRAMS))
    empty = not any(part.nnz for part in parts.values())
    if empty or not regression.can_choose(labels, folds):
        note = f"too few rows to choose n-grams and C: {usual}, C {words.USUAL:g}"
        return _Chosen(usual, words.USUAL, one_vs_rest.USUAL, notes=(note,))

    def tried(ngrams: str, cs: Sequence[float]) -> list[tuple[float, float]]:
        """For each C the best threshold and the metric with it."""
        rotated = words.turned(joined(parts[name] for name in words.NGRAMS[ngrams])[rows])
        odds = one_vs_rest.left_out(rotated, truth[rows], folds, cs, _CHOOSING_STEPS)
        return [one_vs_rest.best_share(task, examples, labels, one) for one in odds]

    by_ngrams = {ngrams: tried(ngrams, [words.USUAL])[0][1] for ngrams in words.NGRAMS}
    ngrams = max(by_ngrams, key=by_ngrams.__getitem__)
    by_c = dict(zip(words.CS, tried(ngrams, words.CS), strict=True))
    c = max(by_c, key=lambda one: by_c[one][1])
    share = by_c[c][0]
    note = f"n-grams, C and threshold were chosen on {len(rows):,} of {len(known):,} rows"
    return _Chosen(
        ngrams,
        c,
        share,
        (
            Choice("n-grams", ngrams, dict(by_ngrams)),
            Choice("C", f"{c:g}", {f"{one:g}": value for one, (_, value) in by_c.items()}),
            Choice("threshold", f"{share:g}", {f"{share:g}": by_c[c][1]}),
        ),
        (note,) if len(rows) < len(known) else (),
    )
