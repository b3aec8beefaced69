"""Logistic regression for several labels a row, one against the rest each, with a threshold for all of them.

All labels are fitted in one solver, which sees the same objective as one fit a label:

    min over W, b of  sum over rows and labels of log(1 + exp(-s z)) + |W|^2 / (2 C),   z = W x + b,

with s = 1 for a label that the row has and -1 for one that it has not. The bias has no penalty.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rung.evaluation.metrics import METRICS
from rung.evaluation.tasks.multi_label import graded_sets, text_for, wanted_of
from rung.ladder.classical import regression
from rung.ladder.responder import Responder
from rung.records import Completion, Example, Score, Task

if TYPE_CHECKING:
    from rung.ladder.classical.tfidf import Matrix
    from rung.ladder.watch import Watcher

Floats = NDArray[np.float64]
Bits = NDArray[np.bool_]
Model = tuple[NDArray[np.float32], NDArray[np.float32]]  # weights (labels, columns), bias (labels,)
SHARES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7)  # probabilities from which a label is given
USUAL = 0.5


def several(task: Task, known: Sequence[Example]) -> tuple[tuple[str, ...], Bits]:
    """The labels of known rows, sorted, and which row has which, (rows, labels)."""
    named = [set(wanted_of(task, example)) for example in known]
    labels = tuple(sorted(set().union(*named)))
    return labels, np.array([[label in row for label in labels] for row in named]).reshape(len(named), -1)


def fit(
    matrix: Matrix | NDArray[np.floating], truth: Bits, cs: Sequence[float], steps: int
) -> Iterator[Model]:
    """For each C, from the one before: weights (labels, columns of `matrix`) and bias (labels,).

    `truth` is (rows, labels); `steps` is the most that the solver (L-BFGS) takes.
    """
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    labels, columns = truth.shape[1], matrix.shape[1]
    signs = np.where(truth, 1.0, -1.0)
    theta = np.zeros(labels * (columns + 1))

    def loss(theta: Floats, c: float) -> tuple[float, Floats]:
        weights, bias = theta[: labels * columns].reshape(labels, columns), theta[labels * columns :]
        away = signs * (np.asarray(matrix @ weights.T) + bias)  # (rows, labels)
        slope = -signs * _sigmoid(-away)
        gradient = np.asarray((matrix.T @ slope).T) + weights / c
        value = float(np.logaddexp(0.0, -away).sum() + (weights**2).sum() / (2 * c))
        return value, np.concatenate([gradient.ravel(), slope.sum(0)])

    for c in cs:
        with threadpool_limits(1, user_api="blas"):
            theta = minimize(
                loss, theta, (c,), method="L-BFGS-B", jac=True, options={"maxiter": steps, "ftol": 1e-7}
            ).x
        weights, bias = theta[: labels * columns].reshape(labels, columns), theta[labels * columns :]
        yield weights.astype(np.float32), bias.astype(np.float32)


def left_out(
    matrix: NDArray[np.floating], truth: Bits, folds: NDArray[np.int_], cs: Sequence[float], steps: int
) -> list[Floats]:
    """For each C the log-odds (rows, labels), each row's from a model that was fitted without it."""
    found = [np.zeros(truth.shape) for _ in cs]
    for fold in sorted(set(folds.tolist())):
        out = folds == fold
        models = fit(matrix[~out], truth[~out], cs, steps)
        for odds, (weights, bias) in zip(found, models, strict=True):
            odds[out] = matrix[out] @ weights.T + bias
    return found


def given(odds: NDArray[np.floating], share: float, empty: bool) -> Bits:
    """Which label is given to which row, (rows, labels): those of at least the probability `share`.

    Where no row of the file is without a label (`empty` is false), each row has its likeliest one at least.
    """
    found = np.asarray(odds >= np.log(share / (1 - share)))
    if not empty and odds.shape[1]:
        found[np.arange(len(odds)), odds.argmax(1)] = True
    return found


def best_share(
    task: Task, examples: Sequence[Example], labels: Sequence[str], odds: Floats
) -> tuple[float, float]:
    """The probability from which labels are given that the task's metric likes best, and its value there.

    The value has its sign turned where lower is better; of equals the share nearest to a half is taken.
    """
    values = {
        share: judged(task, examples, labels, given(odds, share, can_be_empty(task))) for share in SHARES
    }
    best = max(SHARES, key=lambda share: (values[share], -abs(share - USUAL)))
    return best, values[best]


def judged(task: Task, examples: Sequence[Example], labels: Sequence[str], picked: Bits) -> float:
    """The task's metric of `picked` (rows, labels), with its sign turned where lower is better."""
    metric, scores = METRICS[task.primary], []
    for example, row in zip(examples, picked, strict=True):
        found = graded_sets(wanted_of(task, example), [labels[i] for i in np.flatnonzero(row).tolist()])
        scores.append(Score(example.id, "ok", found.values, "", evidence=found.evidence))
    value = float(metric.value(metric.rows(task, examples, scores, [""] * len(scores)).sum(0)))
    return value if metric.higher_is_better else -value


def can_be_empty(task: Task) -> bool:
    """Whether rows of the file are without a label."""
    return bool(task.facts.get("empty"))


def folds_of(examples: Sequence[Example], truth: Bits, seed: int) -> NDArray[np.int_]:
    """As `regression.folds_of`, with the rarest label of each row spread evenly."""
    rarity = truth.sum(0)
    rarest = [min(np.flatnonzero(row), key=lambda i: rarity[i], default=truth.shape[1]) for row in truth]
    return regression.folds_of(examples, np.array(rarest, dtype=np.int_), truth.shape[1], seed)


class SetClassifier(Responder):
    """What answers with all labels of at least the probability `share`.

    Attributes: `task`; `labels`, those of the known rows.
    """

    task: Task
    labels: tuple[str, ...]
    share: float

    @abstractmethod
    def judge(self, examples: Sequence[Example], watcher: Watcher | None = None) -> tuple[Floats, list[int]]:
        """Log-odds of `labels`, (examples, labels), and the tokens a base read for each example."""

    def answer(self, examples: Sequence[Example], watcher: Watcher | None = None) -> list[Completion]:
        """A set of labels for each example, in their order."""
        odds, read = self.judge(examples, watcher)
        picked = given(odds, self.share, can_be_empty(self.task))
        texts = [
            text_for(self.task, [self.labels[i] for i in np.flatnonzero(row).tolist()]) for row in picked
        ]
        return [
            Completion(example.id, text, tokens=0, read=tokens)
            for example, text, tokens in zip(examples, texts, read, strict=True)
        ]


def _sigmoid(z: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0.0, -z)))
