"""The strength of a change: by hand-worked curves of loss and forgetting."""

from __future__ import annotations

import pytest

from rung.ladder.strength import NEGLIGIBLE, Tried, choose, record, search


def tried(strength: float, loss: float, kl: float, spread: float = 0.1) -> Tried:
    """Four dev rows around `loss`; every second one is higher by `spread`, the others lower."""
    return Tried(strength, (loss - spread, loss + spread, loss - spread, loss + spread), kl)


def noisy(strength: float, kl: float, *losses: float) -> Tried:
    return Tried(strength, losses, kl)


def curve(kl: float, power: float, best: float = 1.0) -> object:
    """A rung that forgets kl s^power at strength s and whose dev loss is 1 + (s - best)^2 on every row."""
    asked: list[float] = []

    def measure(strength: float) -> Tried:
        asked.append(strength)
        return Tried(strength, (1 + (strength - best) ** 2,) * 4, kl * strength**power)

    measure.asked = asked  # type: ignore[attr-defined]
    return measure


def test_nothing_else_is_tried_where_little_was_forgotten() -> None:
    measure = curve(0.09, 2)
    first = measure(1.0)  # type: ignore[operator]
    assert search(first, measure, None) == [first]  # type: ignore[arg-type]
    assert search(first, measure, 0.09) == [first]  # type: ignore[arg-type]


@pytest.mark.parametrize("power", [0.7, 1.0, 1.7, 2.0, 3.0])
@pytest.mark.parametrize("kl", [0.2, 1.0, 8.0])
def test_a_bound_is_met_with_few_tries_and_not_by_far(kl: float, power: float) -> None:
    measure = curve(kl, power)
    found = search(measure(1.0), measure, 0.1)  # type: ignore[arg-type,operator]
    taken = choose(found, 0.1)
    assert taken is not None
    assert len(found) <= 5
    assert 0.05 < taken.kl <= 0.1


def test_under_a_bound_the_least_loss_that_keeps_it_is_taken() -> None:
    found = [tried(1.0, 0.5, 0.9), tried(0.5, 0.6, 0.3), tried(0.4, 0.7, 0.2)]
    assert choose(found, 0.3) == found[1]
    assert choose(found, 1.0) == found[0]
    assert choose(found, 0.1) is None


def test_without_a_bound_the_weakest_is_taken_that_costs_no_more_than_one_standard_error() -> None:
    # Row by row, the second is higher by 0.2, 0, 0.2, 0: mean 0.1, standard deviation 0.1155, error 0.0577.
    whole = noisy(1.0, 0.9, 1, 1, 1, 1)
    assert choose([whole, noisy(0.5, 0.3, 1.2, 1.0, 1.2, 1.0)], None) == whole
    # Higher by 0.2, 0, -0.2, 0.04: mean 0.01, error above it.
    free = noisy(0.5, 0.3, 1.2, 1.0, 0.8, 1.04)
    assert choose([whole, free], None) == free


def test_without_a_bound_what_is_negligible_is_tried_first_and_taken_where_it_is_free() -> None:
    measure = curve(4.0, 1.7, best=0.0)  # the weaker, the better
    found = search(measure(1.0), measure, None)  # type: ignore[arg-type,operator]
    taken = choose(found, None)
    assert len(found) == 2
    assert taken is not None
    assert taken.kl == pytest.approx(0.9 * NEGLIGIBLE)


def test_where_that_costs_too_much_the_search_comes_back() -> None:
    """Losses rise clearly below a strength of 0.6: the weakest free one that is tried lies just above."""

    def measure(strength: float) -> Tried:
        loss = 1.0 if strength >= 0.6 else 2.0
        return Tried(strength, (loss, loss + 0.2, loss - 0.2, loss), 4 * strength**2)

    found = search(measure(1.0), measure, None)
    taken = choose(found, None)
    assert taken is not None
    assert 0.6 <= taken.strength < 0.6 * 1.3
    assert len(found) <= 5


def test_the_record_says_what_was_tried_and_taken() -> None:
    found = [tried(1.0, 0.5, 0.9), tried(0.5, 0.6, 0.3)]
    rows = record(found, found[1])
    assert [(one.strength, one.kl, one.taken) for one in rows] == [(0.5, 0.3, True), (1.0, 0.9, False)]
