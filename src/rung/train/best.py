"""Which state of a training is the best one, and when to stop early. Both follow from the looks at dev alone.

A judge, where there is one, is the task's own metric on a few dev rows. On so few rows it ties a lot, and
the best of several looks is partly luck. So it decides only where two looks are apart by more than one row;
else the loss on dev does, which is fine-grained but does not know what is asked for. In simulated trainings
with 64 dev rows at each look (benchmarks/checkpoint_rule.py), the state kept so was 0.36 points of accuracy
behind the best one; by the loss alone it was 0.47, by the metric alone 0.62, and 0.39 with its ties broken by
the loss. With 24 rows these are 0.53, 0.65, 1.43 and 0.58.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from rung.records import CurvePoint

RISE = 0.02  # of the lowest loss on dev: a rise that counts
FALLEN = 0.7  # of the highest learning rate: before that, training does not stop early
_ROUNDING = 1e-9


def is_best(curve: Sequence[CurvePoint], best_step: int | None, slack: float = 0.0) -> bool:
    """Whether the state at the last look of `curve` is better than the one at `best_step`, which it has too.

    Scores (`CurvePoint.dev_score`, higher is better) that are at most `slack` below the highest one so far
    count as equal to it, and the lower dev loss wins; so it does where there are no scores. Of equals the
    first is kept.
    """
    now = curve[-1]
    best = next((point for point in curve[:-1] if point.step == best_step), None)
    if best is None:
        return True
    new, old = _score(now), _score(best)
    if new is not None and old is not None:
        least = max(score for point in curve if (score := _score(point)) is not None) - slack - _ROUNDING
        if (new >= least) != (old >= least):
            return new >= least
    return _loss(now) < _loss(best)


def hurts(curve: Sequence[CurvePoint]) -> bool:
    """Whether training began by making the base worse: the learning rate is too high for it.

    At the first look after the one at the base itself, the loss on dev is more than `RISE` above the base's
    and the score, where there is one, is no better.
    """
    if len(curve) < 2:
        return False
    base, first = curve[0], curve[1]
    before, after = _score(base), _score(first)
    better = before is not None and after is not None and after > before
    return not better and _loss(first) > (1 + RISE) * _loss(base)


def is_over(curve: Sequence[CurvePoint], patience: int | None, peak: float) -> bool:
    """Whether going on only fits the train rows closer: a training may stop after the last look of `curve`.

    At each of the last `patience` looks the dev loss was more than `RISE` above the lowest one before them,
    while the train loss fell and no score was a new best one; and the learning rate is at most `FALLEN` of
    `peak`, since a plateau at a high rate often ends once the rate falls. The idea of Prechelt 1998 ("Early
    stopping, but when?"), with the train loss as a second sign.
    """
    if patience is None or len(curve) <= patience:
        return False
    rate = curve[-1].learning_rate
    if rate is None or rate > FALLEN * peak:
        return False
    before, last = curve[:-patience], curve[-patience:]
    if min(map(_loss, last)) <= (1 + RISE) * min(map(_loss, before)):
        return False
    for earlier, later in pairwise((before[-1], *last)):
        if earlier.train_loss is not None and (later.train_loss or 0.0) >= earlier.train_loss:
            return False
    top = max((score for point in before if (score := _score(point)) is not None), default=math.inf)
    return all(score <= top for point in last if (score := _score(point)) is not None)


def _loss(point: CurvePoint) -> float:
    assert point.dev_loss is not None
    return point.dev_loss


def _score(point: CurvePoint) -> float | None:
    """The score of a look; None where there is none, or none that is a number."""
    score = point.dev_score
    return score if score is not None and math.isfinite(score) else None
