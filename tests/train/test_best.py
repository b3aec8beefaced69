"""Which state is kept, and when training stops early, on curves that are made up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rung.records import CurvePoint
from rung.train.best import hurts, is_best, is_over


def kept(losses: Sequence[float], scores: Sequence[float | None], slack: float = 0.0) -> int:
    """The look that is kept in the end."""
    best, curve = None, []
    for step, (loss, score) in enumerate(zip(losses, scores, strict=True)):
        curve.append(CurvePoint(step, 0, 0.0, dev_loss=loss, dev_score=score))
        if is_best(curve, best, slack):
            best = step
    assert best is not None
    return best


@pytest.mark.parametrize(
    ("losses", "scores", "slack", "wanted"),
    [
        ((3, 1, 2), (None, None, None), 0.0, 1),  # without scores the loss decides
        ((3, 1, 1), (None, None, None), 0.0, 1),  # the first of equals
        ((3, 1, 2), (0.1, 0.5, 0.9), 0.0, 2),
        ((3, 1, 2), (0.1, 0.8, 0.9), 0.1, 1),  # apart by no more than the slack: the loss decides
        ((3, 1, 2), (0.1, 0.79, 0.9), 0.1, 2),
        ((3, 2, 1), (0.1, 0.9, 0.9), 0.0, 2),  # the same score
        ((3, 2, 1), (0.1, 0.9, 0.8), 0.0, 1),
        ((3, 2, 1, 0.5), (0.1, 0.9, 0.82, 0.74), 0.1, 2),  # it does not sink step by step
        ((3, 1, 2), (0.1, None, 0.9), 0.0, 1),  # a score that is missing: the loss decides
        ((3, 1, 2), (0.1, float("nan"), 0.9), 0.0, 1),
        ((3, 2, 1), (-4.0, -2.0, -3.0), 0.5, 1),  # of a metric that is better when it is lower
    ],
)
def test_the_best_look(
    losses: Sequence[float], scores: Sequence[float | None], slack: float, wanted: int
) -> None:
    assert kept(losses, scores, slack) == wanted


def over(
    losses: Sequence[float],
    train: Sequence[float | None] = (None, 1.0, 0.8, 0.6),
    scores: Sequence[float | None] = (None, None, None, None),
    rate: float = 0.5,
    patience: int | None = 2,
) -> bool:
    rows = zip(losses, train, scores, strict=True)
    curve = [
        CurvePoint(n, 0, 0.0, train_loss=its, dev_loss=loss, learning_rate=rate, dev_score=score)
        for n, (loss, its, score) in enumerate(rows)
    ]
    return is_over(curve, patience, peak=1.0)


def test_training_is_over_where_dev_loss_rises_at_two_looks_and_train_loss_falls() -> None:
    assert over((2.0, 1.0, 1.1, 1.2))
    assert not over((2.0, 1.0, 1.1, 1.2), patience=None)
    assert not over((2.0, 1.0, 1.1, 1.2), patience=4)
    assert over((2.0, 1.0, 1.2, 1.1))
    assert not over((2.0, 1.0, 1.1, 1.02))  # it fell again
    assert not over((2.0, 1.0, 1.01, 1.2))  # the first rise is too small to count
    assert not over((2.0, 1.0, 0.9, 1.2))
    assert not over((2.0, 1.0, 1.1, 1.2), train=(None, 1.0, 0.8, 0.8))  # the train loss fell no longer


def test_a_high_learning_rate_goes_on() -> None:
    assert not over((2.0, 1.0, 1.1, 1.2), rate=0.95)


def test_a_new_best_score_goes_on() -> None:
    assert over((2.0, 1.0, 1.1, 1.2), scores=(0.1, 0.8, 0.8, 0.7))
    assert not over((2.0, 1.0, 1.1, 1.2), scores=(0.1, 0.8, 0.7, 0.9))
    assert over((2.0, 1.0, 1.1, 1.2), scores=(-3.0, -1.0, -2.0, -2.0))
    assert not over((2.0, 1.0, 1.1, 1.2), scores=(-3.0, -1.0, -2.0, 0.0))


def test_training_that_only_hurts_is_over() -> None:
    assert over((1.0, 1.1, 1.2, 1.3), patience=3)
    assert not over((1.0, 1.1, 1.2, 1.3), patience=4)


@pytest.mark.parametrize(
    ("losses", "scores", "wanted"),
    [
        ((2.0,), (None,), False),  # nothing was trained yet
        ((2.0, 2.03), (None, None), False),  # within 2%
        ((2.0, 2.05), (None, None), True),
        ((2.0, 2.05, 1.0), (None, None, None), True),  # the first look decides
        ((2.0, 1.0, 3.0), (None, None, None), False),  # the best state is kept anyway
        ((2.0, 2.05), (0.0, 0.4), False),  # it answers better
        ((2.0, 2.05), (0.4, 0.4), True),
    ],
)
def test_a_rate_is_too_high_where_the_first_look_is_worse_than_the_base(
    losses: Sequence[float], scores: Sequence[float | None], wanted: bool
) -> None:
    rows = zip(losses, scores, strict=True)
    curve = [CurvePoint(n, 0, 0.0, dev_loss=loss, dev_score=score) for n, (loss, score) in enumerate(rows)]
    assert hurts(curve) == wanted
