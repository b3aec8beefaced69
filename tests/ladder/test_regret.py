"""Regret against closed forms, and what must hold for every sample."""

from __future__ import annotations

import numpy as np
import pytest

from rung.evaluation import stats
from rung.ladder import regret


def shares(*right: object) -> list[stats.Floats]:
    return [stats.mean_rows(one) for one in right]


def test_draws_have_the_mean_and_spread_of_the_bayesian_bootstrap() -> None:
    rows = np.random.default_rng(0).normal(size=40)
    values = regret.draws([stats.mean_rows(rows)], stats.mean_of, count=40_000)
    assert values.shape == (1, 40_000)
    assert values.mean() == pytest.approx(rows.mean(), abs=0.004)
    assert values.std() == pytest.approx(rows.std() / np.sqrt(41), rel=0.02)  # Rubin 1981


def test_inflated_draws_have_the_same_mean_and_a_larger_spread() -> None:
    rows = np.random.default_rng(0).normal(size=40)
    values = regret.draws([stats.mean_rows(rows)], stats.mean_of, count=40_000, inflation=1.6)
    assert values.mean() == pytest.approx(rows.mean(), abs=0.005)
    assert values.std() == pytest.approx(rows.std() / np.sqrt(40 / 1.6 + 1), rel=0.02)


def test_rungs_are_weighed_by_the_same_rows() -> None:
    right = np.arange(50) % 3 == 0
    first, second = regret.draws(shares(right, right), stats.mean_of)
    assert np.array_equal(first, second)


def test_half_a_row_keeps_rungs_that_agree_from_being_equal() -> None:
    right = np.ones(30)
    first, second = regret.draws(shares(right, right), stats.mean_of, share=True)
    # 30 + 1 rows in all; the difference of two cells of weight 1/2 each has variance 1 / (31 * 32)
    assert (first - second).std() == pytest.approx((1 / (31 * 32)) ** 0.5, rel=0.06)
    assert (first - second).mean() == pytest.approx(0, abs=0.002)


def test_the_regret_of_two_rungs_apart() -> None:
    one, two = np.zeros(1000), np.zeros(1000)
    one[:800], two[:500] = 1, 1
    values = regret.draws(shares(one, two), stats.mean_of, share=True)
    best, other = regret.regrets(["a", "b"], regret.shortfalls(values), 0.01)
    assert (best.rung, best.expected, best.chance) == ("a", 0.0, 1.0)
    assert other.expected == pytest.approx(0.3, abs=0.002)
    assert other.chance == 0.0
    loser = regret.regrets(["a", "b"], regret.shortfalls(values, -1), 0.01)[0]  # where lower is better
    assert loser.expected == pytest.approx(0.3, abs=0.002)


def test_the_expected_regret_counts_that_the_best_may_be_another() -> None:
    rng = np.random.default_rng(1)
    rows = [rng.random(100) < 0.5 for _ in range(4)]
    behind = regret.shortfalls(regret.draws(shares(*rows), stats.mean_of, share=True))
    assert (behind.min(axis=0) == 0).all()
    assert all(one.expected > 0 for one in regret.regrets("abcd", behind, 0.01))
    wide = regret.regrets("abcd", behind, 0.5)
    assert all(one.chance == 1.0 for one in wide)


def test_metrics_that_are_no_means() -> None:
    right = np.array([[2.0, 0, 0]] * 45 + [[0.0, 2, 2]] * 5)
    half = np.array([[1.0, 1, 1]] * 50)
    values = regret.draws([right, half], stats.f1_of)
    assert values[1] == pytest.approx(0.5)
    assert values[0].mean() == pytest.approx(0.9, abs=0.01)


def test_the_seed_decides_and_no_rows_are_an_error() -> None:
    rows = shares(np.arange(20) % 2, np.arange(20) % 3 == 0)
    first = regret.draws(rows, stats.mean_of, seed=5)
    assert np.array_equal(first, regret.draws(rows, stats.mean_of, seed=5))
    assert not np.array_equal(first, regret.draws(rows, stats.mean_of, seed=6))
    with pytest.raises(ValueError, match="no rows"):
        regret.draws(shares([], []), stats.mean_of)


def test_many_rows_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = shares(np.arange(30) % 2)
    whole = regret.draws(rows, stats.mean_of, count=50)
    monkeypatch.setattr(regret, "_CELLS", 300)
    assert regret.draws(rows, stats.mean_of, count=50) == pytest.approx(whole)


def test_a_part_is_seen_through_the_difference_to_a_whole_rung() -> None:
    """The difference of the two is that of the rows they share, whatever the rest of the rows are like."""
    rng = np.random.default_rng(2)
    whole, mine = rng.random(300) < 0.5, rng.random(300) < 0.7
    places = np.arange(0, 300, 5)
    on_part = shares(mine[places], whole[places])
    part = regret.Part(places, on_part[0], on_part[1], 0)
    drawn = regret.draws([*shares(whole), part], stats.mean_of, share=True, count=20_000)
    pair = regret.draws(on_part, stats.mean_of, share=True, count=20_000, seed=1)
    ahead, alone = drawn[1] - drawn[0], pair[0] - pair[1]
    assert ahead.mean() == pytest.approx(alone.mean(), abs=0.003)
    assert ahead.std() == pytest.approx(alone.std(), rel=0.03)
    assert drawn[0].std() < 0.6 * pair[1].std()  # the whole rung keeps all of its rows
    exact = regret.scores([*shares(whole), part], stats.mean_of)
    assert exact[0] == pytest.approx(whole.mean())
    assert exact[1] == pytest.approx(whole.mean() + mine[places].mean() - whole[places].mean())


def test_a_rung_that_reaches_the_goal_comes_first() -> None:
    values = np.tile([[0.795], [0.8], [0.801]], 10)
    for enough, taken in (((), "a"), ((1, 2), "b"), ((2,), "c")):
        chosen, _ = regret.choose("abc", values, (), 0.01, enough)
        assert chosen is not None
        assert chosen.rung == taken
