"""Multinomial logistic regression, with folds for an honest choice of its penalty.

Shared by the rungs that fit it on words and on hidden states.
"""

from __future__ import annotations

import random
import warnings
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rung.data import sample
from rung.data.split import prompt_key
from rung.evaluation.labels import equal_label
from rung.ladder.classical import fitted
from rung.ladder.classical.fitted import graded
from rung.ladder.responder import Responder
from rung.records import Completion, Example, Task

if TYPE_CHECKING:
    from rung.ladder.classical.tfidf import Matrix
    from rung.ladder.watch import Watcher

UNKNOWN = -30.0  # log-probability of a choice that no known row has, and the lowest of all
FEW_ROWS = 10  # with fewer, nothing is chosen
_FEW_LABELS = 20
_CHOOSING_ROWS, _ROWS_PER_LABEL = 1_000, 5  # choices are made on so many rows at most

Floats = NDArray[np.float64]


def sampled(known: Sequence[Example], labels: int, seed: int) -> NDArray[np.intp]:
    """Places of the rows that choices are made on."""
    most = max(_CHOOSING_ROWS, _ROWS_PER_LABEL * labels)
    kept = {id(example) for example in sample(known, most, seed)}
    return np.array([place for place, example in enumerate(known) if id(example) in kept])


def folds_of(
    examples: Sequence[Example], truth: NDArray[np.int_], labels: int, seed: int
) -> NDArray[np.int_]:
    """The fold of each row, (rows,): labels are spread evenly; rows with one prompt or group stay together.

    Both are needed for an honest choice: a copy of a row in another fold would reward weak penalties. There
    are 5 folds, 3 where there are more than 20 labels.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for place, example in enumerate(examples):
        groups[example.group or prompt_key(example)].append(place)
    order = list(groups.values())
    random.Random(f"folds {seed}").shuffle(order)
    count = 5 if labels <= _FEW_LABELS else 3
    found = np.zeros(len(examples), dtype=np.int_)
    for number, group in enumerate(sorted(order, key=lambda group: truth[group[0]])):
        found[group] = number % count
    return found


def left_out(
    matrix: NDArray[np.floating],
    truth: NDArray[np.int_],
    labels: int,
    folds: NDArray[np.int_],
    cs: Sequence[float],
    steps: int,
) -> list[Floats]:
    """For each C the log-probabilities (rows, labels), each row's from a model that was fitted without it."""
    found = [np.zeros((len(truth), labels)) for _ in cs]
    for fold in sorted(set(folds.tolist())):
        out = folds == fold
        models = fit(matrix[~out], truth[~out], labels, cs, steps)
        for scores, (weights, bias) in zip(found, models, strict=True):
            scores[out] = log_softmax(matrix[out] @ weights.T + bias)
    return found


def fit(
    matrix: Matrix | NDArray[np.floating],
    truth: NDArray[np.int_],
    labels: int,
    cs: Sequence[float],
    steps: int,
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """For each C, fitted from the one before: weights (labels, columns of `matrix`) and bias (labels,).

    A label that has no row here gets no weights and the bias `UNKNOWN`.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    there = np.unique(truth)
    # gradients are means over rows, so with many labels scikit-learn's own tolerance would end at once
    model = LogisticRegression(max_iter=steps, tol=1e-3 / labels, warm_start=True)
    found = []
    for c in cs:
        weights = np.zeros((labels, matrix.shape[1]), dtype=np.float32)
        bias = np.full(labels, UNKNOWN, dtype=np.float32)
        bias[there] = 0.0
        if len(there) > 1:
            # products this small take longer with more threads, several times longer on a busy machine
            with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
                # the number of steps is limited on purpose
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.set_params(C=c).fit(matrix, truth)
            # of two labels, scikit-learn gives the second one's weights alone
            rows = there[1:] if len(there) == 2 else there
            weights[rows], bias[rows] = model.coef_, model.intercept_
        found.append((weights, bias))
    return found


def log_softmax(scores: NDArray[np.floating]) -> Floats:
    """Log-probabilities (rows, labels) of scores (rows, labels)."""
    exact = np.asarray(scores, dtype=np.float64)
    return np.asarray(exact - np.logaddexp.reduce(exact, axis=1, keepdims=True), dtype=np.float64)


def labelled(task: Task, known: Sequence[Example]) -> tuple[tuple[str, ...], NDArray[np.int_]]:
    """The labels of known rows, sorted, and the place of each row's among them, (rows,)."""
    named = [label_of(task, example) for example in known]
    labels = tuple(sorted(set(named)))
    place = {label: i for i, label in enumerate(labels)}
    return labels, np.array([place[label] for label in named])


def can_choose(labels: Sequence[str], folds: NDArray[np.int_]) -> bool:
    """Whether there are rows, labels and folds (rows,) enough to choose anything by cross-validation."""
    return len(folds) >= FEW_ROWS and len(labels) >= 2 and len(set(folds.tolist())) >= 2


def judged(
    task: Task,
    examples: Sequence[Example],
    labels: Sequence[str],
    truth: NDArray[np.int_],
    logs: NDArray[np.floating],
) -> tuple[float, float]:
    """Of scores `logs` (rows, labels): the task's metric, and the mean score of the right label.

    Higher is better for both, so the second decides among equals.
    """
    picked = [labels[i] for i in logs.argmax(1)]
    fit = float(logs[np.arange(len(truth)), truth].mean())
    return graded(task, examples, picked).value(task.primary), fit


def label_of(task: Task, example: Example) -> str:
    """The label of a known row, as `task` writes it."""
    return equal_label(example.target, task.labels) or example.target.strip()


def require_fit(
    labels: Sequence[object], weights: NDArray[np.floating], bias: NDArray[np.floating], width: int
) -> None:
    """Raises `ResumeError` where `weights` (labels, width) and `bias` (labels,), as read, are no model."""
    fitted.require_fit(
        all(isinstance(label, str) for label in labels)
        and len(labels) > 0
        and weights.shape == (len(labels), width)
        and bias.shape == (len(labels),)
        and bool(np.isfinite(weights).all() and np.isfinite(bias).all())
    )


def of_choices(logs: Floats, labels: Sequence[str], choices: Sequence[str]) -> Floats:
    """Columns of `logs` (rows, labels) for `choices`, (rows, choices); `UNKNOWN` where none is that label."""
    found = [equal_label(choice, labels) for choice in choices]
    scores = np.full((len(logs), len(choices)), UNKNOWN)
    known = [place for place, label in enumerate(found) if label is not None]
    columns = [labels.index(label) for label in found if label is not None]
    scores[:, known] = np.maximum(logs[:, columns], UNKNOWN)
    return scores


class Classifier(Responder):
    """What answers with labels by their log-probabilities.

    Attributes: `labels`, those of the known rows.
    """

    labels: tuple[str, ...]

    @abstractmethod
    def judge(self, examples: Sequence[Example], watcher: Watcher | None = None) -> tuple[Floats, list[int]]:
        """Log-probabilities of `labels`, (examples, labels), and the tokens a base read for each example."""

    def answer(self, examples: Sequence[Example], watcher: Watcher | None = None) -> list[Completion]:
        """The most probable label for each example, in their order."""
        return self._answers(examples, *self.judge(examples, watcher))

    def score(self, examples: Sequence[Example], choices: Sequence[str]) -> Floats:
        """Log-probability of each choice, (examples, choices); see `of_choices`."""
        return of_choices(self.judge(examples)[0], self.labels, choices)

    def answer_and_score(
        self, examples: Sequence[Example], choices: Sequence[str]
    ) -> tuple[list[Completion], Floats]:
        """Both, of one look at the rows."""
        logs, read = self.judge(examples)
        return self._answers(examples, logs, read), of_choices(logs, self.labels, choices)

    def _answers(self, examples: Sequence[Example], logs: Floats, read: Sequence[int]) -> list[Completion]:
        return [
            Completion(example.id, self.labels[place], tokens=0, read=tokens)
            for example, place, tokens in zip(examples, logs.argmax(axis=1).tolist(), read, strict=True)
        ]
