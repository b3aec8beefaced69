"""From the log-likelihoods of labels to one label: as they are, per token, or corrected for the base's bias.

    picked(i) = argmax over c of  factor[c] * score[i, c] + offset[c],
    score[i, c] = log p(label c | prompt i)

A rule is a set of numbers, fixed before the test rows are read, so a row's answer depends on no other row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 200
_CLOSE = 1e-4  # nats; a change of the offsets after which they are taken as they are
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelRule:
    """How scores become a choice."""

    per_token: bool = False  # scores are divided by the label's number of tokens
    offsets: tuple[float, ...] = ()  # nats, one for each label; empty: none

    def factors(self, lengths: Sequence[int]) -> Scores:
        """What the scores are multiplied by, (labels,), for labels of so many tokens."""
        counts = np.asarray(lengths, dtype=np.float64)
        return 1.0 / counts if self.per_token else np.ones_like(counts)

    def added(self, labels: int) -> Scores:
        """What is added after that, (labels,)."""
        return np.array(self.offsets) if self.offsets else np.zeros(labels)

    def applied(self, scores: Scores, lengths: Sequence[int]) -> Scores:
        """`scores` (rows, labels) under this rule."""
        return scores * self.factors(lengths) + self.added(len(lengths))


def calibrated(empty: Scores) -> LabelRule:
    """Without what the base prefers where the text says nothing, `empty` (texts, labels).

    Contextual calibration in log space, averaged over the texts (Zhao et al. 2021, arXiv 2102.09690).
    """
    prior = empty - np.logaddexp.reduce(empty, axis=1, keepdims=True)
    return LabelRule(offsets=tuple((-prior.mean(0)).tolist()))


def matched(scores: Scores, shares: Sequence[float]) -> LabelRule:
    """The offsets with which the mean probabilities of the labels over rows are `shares`.

    `scores` (rows, labels) are of rows whose labels are not looked at; `shares` (labels,) are positive and
    add up to 1. The idea of batch calibration (Zhou et al. 2023, arXiv 2309.17249), solved by Sinkhorn's
    iteration: offset += log share - log mean probability.
    """
    wanted = np.log(np.asarray(shares, dtype=np.float64))  # (labels,)
    offsets = np.zeros_like(wanted)
    for _ in range(_ROUNDS):
        found = scores + offsets  # (rows, labels)
        found = found - np.logaddexp.reduce(found, axis=1, keepdims=True)
        step = wanted - (np.logaddexp.reduce(found, axis=0) - np.log(len(found)))  # (labels,)
        offsets += step
        if np.abs(step).max() < _CLOSE:
            break
    return LabelRule(offsets=tuple((offsets - offsets.mean()).tolist()))


def shares_of(labels: Sequence[str], targets: Sequence[str]) -> tuple[float, ...]:
    """How often each label is a target, as shares; each counted once more, so that none is 0."""
    counts = [1 + sum(target == label for target in targets) for label in labels]
    return tuple(count / sum(counts) for count in counts)
