"""What a rung costs to make and to use, and the number of answers from which another one is cheaper.

A rung's total cost at v answers is a straight line, making + v * (cost of one answer), in seconds; in money
where every rung has a price.  Two lines cross at v = (making_b - making_a) / (each_a - each_b).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from rung import numbers
from rung.records import Result

VOLUME = 10_000  # answers, where a run has not kept for how many cost is counted
MOST = 10_000_000  # answers; break-even points beyond this are not shown
LISTED = 6  # break-even points


@dataclass(frozen=True, slots=True)
class Line:
    """What a finished rung costs, and how good it is."""

    rung: str
    making: float
    each: float  # one answer
    quality: float | None = None  # the more the better
    floor: bool = False

    def at(self, volume: float) -> float:
        """Total cost at `volume` answers."""
        return self.making + volume * self.each


@dataclass(frozen=True, slots=True)
class BreakEven:
    """`first` is cheaper up to `volume` answers, `second` from there on."""

    first: Line
    second: Line
    volume: float

    @property
    def cost(self) -> float:
        """Of both, at the volume."""
        return self.first.at(self.volume)


@dataclass(frozen=True, slots=True)
class Costs:
    """The lines of a run, all in one unit."""

    lines: tuple[Line, ...]  # in the order of the ladder
    currency: str | None  # None for seconds

    @property
    def unit(self) -> str:
        return "time" if self.currency is None else numbers.one_line(self.currency) or "money"

    def text(self, value: float) -> str:
        """An amount, with its unit."""
        return numbers.seconds(value) if self.currency is None else numbers.money(value, self.currency)


def costs(results: Sequence[Result]) -> Costs:
    """The lines of all finished rungs whose two costs were measured."""
    known = [one for one in results if one.status == "ok" and one.cost.at(1) is not None]
    priced = bool(known) and all(one.cost.money_at(1) for one in known)
    lines = []
    for one in known:
        cost = one.cost
        making = cost.making_money if priced else cost.making_seconds
        each = cost.one_answer_money if priced else cost.one_answer
        assert making is not None
        assert each is not None
        lines.append(Line(numbers.one_line(one.rung), making, each, _worth(one), one.kind == "floor"))
    return Costs(tuple(lines), known[0].cost.currency if priced else None)


def efficient(lines: Sequence[Line]) -> list[Line]:
    """The lines that no other one beats: at least as good and never more expensive.

    The floor beats others, but is not listed itself.
    """
    return [one for one in lines if not one.floor and not any(_beats(other, one) for other in lines)]


def break_evens(lines: Sequence[Line]) -> list[BreakEven]:
    """Where two of the efficient lines cross, between 1 and `MOST` answers, the fewest answers first."""
    found = []
    for one, other in combinations(efficient(lines), 2):
        first, second = sorted((one, other), key=lambda line: line.making)
        if first.each > second.each:
            volume = (second.making - first.making) / (first.each - second.each)
            if 1 <= volume <= MOST:
                found.append(BreakEven(first, second, volume))
    return sorted(found, key=lambda point: point.volume)


def sentences(points: Sequence[BreakEven]) -> tuple[str, ...]:
    """``few-shot is cheaper than lora up to 1,300 answers``, at most `LISTED`."""
    return tuple(
        f"{one.first.rung} is cheaper than {one.second.rung} up to {numbers.roughly(one.volume)} answers"
        for one in points[:LISTED]
    )


def _beats(one: Line, other: Line) -> bool:
    if one is other or one.quality is None or other.quality is None:
        return False
    mine = (one.quality, -one.making, -one.each)
    yours = (other.quality, -other.making, -other.each)
    return mine != yours and all(a >= b for a, b in zip(mine, yours, strict=True))


def _worth(result: Result) -> float | None:
    measure = result.primary
    if measure is None or measure.value is None:
        return None
    return measure.value if measure.higher_is_better else -measure.value
