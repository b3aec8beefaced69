"""Who runs a race, how far, and who goes on: cases worked by hand."""

from __future__ import annotations

import math

import pytest

from rung.ladder.race_rules import (
    Arm,
    arms_for,
    clearly_worse,
    planned,
    ranked,
    rounds,
    rows_needed,
    ruins,
    step_tokens,
)

FIVE = (Arm(0.002), Arm(0.001), Arm(0.004), Arm(0.008), Arm(0.016))


def test_the_most_useful_arms_come_first() -> None:
    half = (Arm(0.002), Arm(0.001, 30), Arm(0.001), Arm(0.004))
    assert arms_for(0.002, every=30, short=True) == (*half, Arm(0.002, 30))
    assert arms_for(0.002, every=30, short=False) == half
    assert arms_for(0.002, every=None, short=True) == FIVE[:4]
    assert arms_for(0.002, every=None, short=False) == FIVE[:3]
    assert arms_for(0.6, every=None, short=False) == (Arm(0.6), Arm(0.3))  # no rate above 1


def test_an_arm_is_named_by_what_is_raced() -> None:
    assert Arm(0.002).named(15) == "learning rate 0.002, the top 15 layers"
    assert Arm(0.001, 30).named(15) == "learning rate 0.001, all layers"
    assert Arm(0.002).named(None) == "learning rate 0.002"


@pytest.mark.parametrize(
    ("arms", "expected"),
    [
        (5, [(5, 48), (3, 48), (2, 96)]),
        (4, [(4, 48), (2, 48)]),
        (3, [(3, 48), (2, 48)]),
        (2, [(2, 48)]),
        (1, []),
    ],
)
def test_the_better_half_goes_on_and_has_seen_twice_as_many_rows(
    arms: int, expected: list[tuple[int, int]]
) -> None:
    assert rounds(arms, 48) == expected
    assert rows_needed(arms, 48) == sum(new for _, new in expected)


def cost(rows: int) -> float:
    return 0.5 + rows / 10


@pytest.mark.parametrize(
    ("training", "arms", "rows"),
    [
        # 15% of the training; five arms cost 5 * 5.3 + 3 * 5.3 + 2 * 10.1 = 62.6 s with the fewest rows
        (420.0, 5, 48),
        (417.0, 4, 99),  # 62.55 s: 6 * (0.5 + 99 / 10) = 62.4
        (212.0, 4, 48),  # 31.8 s = 6 * 5.3
        (211.0, 3, 58),  # 31.65 s: 5 * 6.3 = 31.5
        (177.0, 3, 48),  # 26.55 s: 5 * 5.3 = 26.5
        (176.0, 2, 127),  # 26.4 s = 2 * 13.2
        (71.0, 2, 48),  # 10.65 s: 2 * 5.3 = 10.6
    ],
)
def test_less_time_means_fewer_rows_and_then_fewer_arms(training: float, arms: int, rows: int) -> None:
    found = planned(FIVE, 1000, training, cost)
    assert found is not None
    assert (len(found.arms), found.rows) == (arms, rows)
    assert found.arms == FIVE[:arms]
    assert found.seconds == pytest.approx(sum(left * cost(new) for left, new in rounds(arms, rows)))
    assert found.seconds <= 0.15 * training


def test_no_race_where_not_even_two_arms_fit() -> None:
    assert planned(FIVE, 1000, 70.0, cost) is None  # 10.5 s
    assert planned(FIVE, 47, 1e6, cost) is None  # too few rows
    assert planned(FIVE[:1], 1000, 1e6, cost) is None


def test_a_long_training_has_no_endless_race_and_no_row_is_raced_on_twice() -> None:
    found = planned(FIVE, 10_000, 1e6, cost, once=3.0)
    assert found is not None
    assert (len(found.arms), found.rows) == (5, 192)
    assert found.seconds == pytest.approx(8 * cost(192) + 2 * cost(384) + 3.0)
    few = planned(FIVE, 130, 1e6, cost)  # 5 arms would need 4 * 48 rows
    assert few is not None
    assert (len(few.arms), few.rows) == (4, 65)


def test_steps_are_small_enough_to_take_twelve() -> None:
    assert step_tokens(48, 50.0, 800) == 200  # 4 rows
    assert step_tokens(192, 50.0, 800) == 800  # 16 rows
    assert step_tokens(192, 50.0, 400) == 400  # as in the long training


RATES = [Arm(0.002, 30), Arm(0.001, 30), Arm(0.004, 30), Arm(0.004)]


def test_arms_that_are_clearly_worse_are_ranked_by_their_loss() -> None:
    losses = [[2.0, 2.1, 2.2], [3.0, 3.1, 3.2], [1.0, 1.1, 1.2], [2.5, 2.6, 2.7]]
    assert ranked(RATES, losses) == [2, 0, 3, 1]


def test_of_equals_fewer_layers_are_first_and_then_the_lowest_rate() -> None:
    best = [1.0, 2.0, 3.0]
    # differences 0.1, 0.5, -0.3: mean 0.1, standard error 0.4 / sqrt(3) = 0.23
    near = [1.1, 2.5, 2.7]
    assert not clearly_worse(near, best)
    assert ranked(RATES, [near, near, best, near]) == [3, 1, 0, 2]
    # differences 0.3, 0.7, -0.1: mean 0.3, standard error 0.23
    assert clearly_worse([1.3, 2.7, 2.9], best)
    assert ranked(RATES, [best, [1.3, 2.7, 2.9], best, best]) == [3, 0, 2, 1]


def test_one_row_has_no_standard_error() -> None:
    assert clearly_worse([1.1], [1.0])
    assert not clearly_worse([1.0], [1.0])


def test_what_diverged_is_out() -> None:
    assert ranked(RATES[:3], [[], [2.0, 2.5], [math.nan, 1.0]]) == [1]
    assert ranked(RATES[:2], [[], []]) == []


def test_a_rate_ruins_the_base_where_its_loss_is_higher() -> None:
    assert ruins([2.0, 3.1], [2.0, 3.0])
    assert not ruins([2.0, 3.0], [2.0, 3.0])
    assert ruins([], [2.0, 3.0])
    assert ruins([math.inf, 0.0], [2.0, 3.0])
