"""What a verdict decided, and what it was decided from; `sentence` and `helps` put it into words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rung import numbers
from rung.ladder import bound
from rung.ladder.rungs import RUNGS
from rung.records import Certainty, Comparison, Regret, Result, Task


@dataclass(frozen=True, slots=True)
class Case:
    """What was decided, and what it was decided from."""

    task: Task
    results: Mapping[str, Result]  # by rung, cheapest first
    recommended: str | None
    best: str | None
    rival: str | None
    comparisons: tuple[Comparison, ...]
    certainty: Certainty | None = None  # None where there were no rows to compare on
    regrets: tuple[Regret, ...] = ()
    ranked: tuple[str, ...] = ()  # the rungs that were compared, the cheapest first
    tolerance: float = 1.0  # in points of the screen, as is the goal
    goal: float | None = None
    volume: int = 10_000
    uncompared: tuple[str, ...] = ()  # rungs without test rows in common with the best
    rows: int = 0  # test rows on which most rungs were compared
    fewer: Mapping[str, int] = field(default_factory=dict)  # rungs that answered fewer of them, and how many
    max_forgetting: float | None = None  # nats a token
    over: Mapping[str, float] = field(default_factory=dict)  # rungs that forgot more, and how much
    notes: tuple[str, ...] = ()  # what the plan left out

    @property
    def too_much(self) -> str:
        """What the rungs above the bound forgot, without a full stop; empty without such a rung."""
        if not self.over or self.max_forgetting is None:
            return ""
        named = {title(self.results[rung]): kl for rung, kl in self.over.items()}
        return numbers.capital(bound.all_too_much(named, self.max_forgetting))

    @property
    def conclusive(self) -> bool:
        return self.certainty in ("clear", "likely")

    def misses(self, result: Result) -> bool:
        """Whether the score of `result` is worse than the goal."""
        measure = result.primary
        if self.goal is None or measure is None or measure.value is None:
            return False
        ahead = measure.value * numbers.factor(measure) - self.goal
        return ahead < 0 if measure.higher_is_better else ahead > 0

    def between(self, first: str, second: str) -> Comparison | None:
        """The comparison of two rungs, in whichever order it was made."""
        return next((pair for pair in self.comparisons if {pair.first, pair.second} == {first, second}), None)


def title(result: Result) -> str:
    """A rung's name on the screen, ``8-shot prompting`` with the k it chose."""
    chosen = next((one.chosen for one in result.choices if one.name in ("prompt", "k")), "")
    if result.prompts and chosen[:1].isdigit():
        retrieved = " with retrieved examples" if "retrieved" in chosen else ""
        return f"{chosen.split()[0]}-shot prompting{retrieved}"
    return RUNGS[result.rung].title if result.rung in RUNGS else result.rung


def worth(result: Result) -> float:
    """Its score, the more the better; minus infinity without one."""
    measure = result.primary
    if measure is None or measure.value is None:
        return float("-inf")
    return measure.value if measure.higher_is_better else -measure.value
