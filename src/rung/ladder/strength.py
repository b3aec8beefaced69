"""How strongly an adapter's change is put on: less of it forgets less, and often answers as well.

After training the whole change can be multiplied by a number (`Attached.load_scaled`): for LoRA its B, for
full fine-tuning the difference to the base's weights (WiSE-FT, arXiv 2109.01903). What is forgotten falls
faster than the strength, about as its square while it is small, and the loss on dev rises late. So a weaker
change is tried where too much was forgotten:

- under a bound (`--max-forgetting`), the strongest change that keeps it;
- without one, where more than `NEGLIGIBLE` was forgotten: the weakest whose loss on dev is within one
  standard error of the best (the rule of Breiman et al. 1984).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from rung.ladder.race_rules import clearly_worse
from rung.records import Tradeoff

NEGLIGIBLE = 0.1  # nats a token
DEV_ROWS, TEXTS = 64, 16  # on which strengths are compared
POWER = 1.7  # forgetting as a power of the strength, before there are two points; measured 1.5 to 1.9
MOST_TRIES = 4  # weaker changes
_WITHIN = 0.9  # of a bound is aimed at
_ENOUGH = 0.5  # of a bound: what forgets more than this is close enough to it
_WEAKEST = 1e-3
_NEAR = 1.25  # a ratio of two strengths between which no other is tried


@dataclass(frozen=True, slots=True)
class Tried:
    """What a strength came to."""

    strength: float
    losses: tuple[float, ...]  # nats of each dev row
    kl: float  # nats a token

    @property
    def loss(self) -> float:
        return fmean(self.losses)


Measure = Callable[[float], Tried]


def search(first: Tried, measure: Measure, bound: float | None) -> list[Tried]:
    """Strengths worth trying, measured: `first` is the whole change."""
    tried = [first]
    if first.kl <= (NEGLIGIBLE if bound is None else bound):
        return tried
    following = _towards_free if bound is None else _towards(bound)
    while len(tried) <= MOST_TRIES:
        strength = following(tried)
        if strength is None or strength < _WEAKEST:
            break
        tried.append(measure(strength))
    return tried


def _towards(bound: float) -> Callable[[Sequence[Tried]], float | None]:
    """What to try next under a bound; nothing where one is close below it."""

    def following(tried: Sequence[Tried]) -> float | None:
        close = any(_ENOUGH * bound <= one.kl <= bound for one in tried)
        return None if close else _meets(tried, bound)

    return following


def _towards_free(tried: Sequence[Tried]) -> float | None:
    """What to try next without a bound: what should forget next to nothing. Where that costs too much, it is
    the middle between the weakest change that is free and the strongest that is not."""
    if len(tried) == 1:
        return _meets(tried, NEGLIGIBLE)
    best = min(tried, key=lambda one: one.loss)
    free = min(one.strength for one in tried if _free(one, best))
    costly = max((one.strength for one in tried if one.strength < free), default=None)
    if costly is None:
        return _meets(tried, NEGLIGIBLE) if tried[-1].kl > 1.5 * NEGLIGIBLE else None
    return math.sqrt(free * costly) if free / costly > _NEAR else None


def choose(tried: Sequence[Tried], bound: float | None) -> Tried | None:
    """The one to take; None where none keeps the bound.

    Under a bound the least loss on dev among those that keep it, else the weakest that costs no more than
    one standard error of dev loss.
    """
    if bound is not None:
        return min((one for one in tried if one.kl <= bound), key=lambda one: one.loss, default=None)
    best = min(tried, key=lambda one: one.loss)
    return min((one for one in tried if _free(one, best)), key=lambda one: one.kl)


def _free(one: Tried, best: Tried) -> bool:
    """Whether its loss is within one standard error of the best one's, row by row."""
    return not clearly_worse(one.losses, best.losses)


def _meets(tried: Sequence[Tried], aim: float) -> float:
    """The strength at which `aim` should be met: forgetting is a power of the strength between two points."""
    above = min((one for one in tried if one.kl > aim), key=lambda one: one.strength)
    others = [one for one in tried if one is not above and one.kl > 0]
    power = POWER
    if others:
        other = min(others, key=lambda one: abs(math.log(one.kl / aim)))
        power = math.log(other.kl / above.kl) / math.log(other.strength / above.strength)
    found: float = above.strength * (_WITHIN * aim / above.kl) ** (1 / min(5.0, max(0.4, power)))
    return found


def record(tried: Sequence[Tried], taken: Tried | None) -> tuple[Tradeoff, ...]:
    """For the result, the weakest first."""
    ordered = sorted(tried, key=lambda one: one.strength)
    return tuple(Tradeoff(one.strength, one.loss, one.kl, one is taken) for one in ordered)
