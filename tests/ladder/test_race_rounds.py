"""What all races share: what is kept, what is read again, and how arms are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contexts import SLOW, context_of
from rung.ladder import race_rules
from rung.ladder.prepare import Prepared
from rung.ladder.race_rounds import Race, Ran, Rounds, seconds_of
from rung.ladder.race_rules import Arm, Losses


class Named(Rounds):
    """Arms with losses that are made up."""

    losses: dict[tuple[int, int], float]
    sign = 1.0

    def named(self, race: Race, place: int) -> str:
        return f"arm {place}"

    def prepared_of(self, race: Race, place: int) -> Prepared:
        return self.context.prepared

    def counted(self, losses: Losses) -> Losses:
        return [self.sign * loss for loss in losses]

    def _trained(self, race: Race, place: int, turn: int) -> list[float]:
        return [self.losses[place, turn]] * len(self.dev)


@pytest.fixture
def ground(prepared: Prepared, tmp_path: Path) -> Named:
    return Named(context_of(prepared, tmp_path), "mine", "lora", tmp_path / "race", 256, None)


def places(race: Race) -> list[tuple[int, int]]:
    return [(one.arm, one.turn) for one in race.ran]


def test_the_better_half_goes_on_and_what_is_done_is_not_done_again(ground: Named) -> None:
    ground.losses = {(0, 0): 3.0, (1, 0): 1.0, (2, 0): 2.0, (3, 0): 4.0, (1, 1): 1.5, (2, 1): 1.0}
    race = Race("m", (Arm(0.1),) * 4, 8, 100, base=(5.0,) * len(ground.dev))
    found, best = ground.play(race)
    assert best == 2
    assert places(found) == [(0, 0), (1, 0), (2, 0), (3, 0), (1, 1), (2, 1)]
    assert ground.read("m") == found
    assert ground.play(found) == (found, 2)
    assert ground.read("another") is None


def test_arms_are_compared_by_what_counts(ground: Named) -> None:
    ground.losses, ground.sign = {(0, 0): 3.0, (1, 0): 1.0}, -1.0
    assert ground.play(Race("m", (Arm(0.1),) * 2, 8, 100, base=(5.0,)))[1] == 0


def test_where_all_diverge_the_first_of_equals_is_taken(
    ground: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.losses = dict.fromkeys([(0, 0), (1, 0), (2, 0)], float("nan"))
    found, best = ground.play(Race("m", (Arm(0.1),) * 3, 8, 100, base=(5.0,)))
    assert best == 0
    assert {one.losses for one in found.ran} == {()}


def test_the_last_losses_of_an_arm(ground: Named) -> None:
    race = Race("m", (Arm(0.1),), ran=(Ran(0, 0, (3.0,), 1.0), Ran(0, 1, (2.0,), 2.5)))
    assert race.last(0) == (2.0,)
    assert race.seconds == 3.5
    assert race.find(0, 2) is None


def test_an_arm_costs_more_with_more_rows(prepared: Prepared) -> None:
    context: Any = context_of(prepared)
    cost, reading = seconds_of(context, "lora", SLOW.train["lora"], 48)
    assert reading == pytest.approx(48 * context.work.row_tokens / SLOW.prefill)
    assert cost(race_rules.FEWEST_ROWS) > reading
    assert cost(200) > cost(100)
