"""Intervals and tests against scipy, published values and small simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as reference

from rung.evaluation import stats


def test_wilson_by_formula() -> None:
    assert stats.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe 1998, table I
    low, high = stats.wilson(0, 20)
    assert low == pytest.approx(0.0, abs=1e-12)
    assert high == pytest.approx(0.1611, abs=5e-5)  # the same table


@pytest.mark.parametrize(("right", "n"), [(0, 7), (7, 7), (3, 40), (81, 263)])
def test_wilson_agrees_with_scipy(right: int, n: int) -> None:
    theirs = reference.binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert stats.wilson(right, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert stats.wilson(4 * right, 4 * n, 4.0) == pytest.approx(stats.wilson(right, n))


def test_an_inflated_variance_is_that_of_fewer_rows() -> None:
    """With 2.25, intervals are 1.5 times as wide, and p-values are those of them."""
    rng = np.random.default_rng(5)
    one, two = rng.normal(0.2, 1, 300), rng.normal(0, 1, 300)
    pairs = stats.mean_rows(one), stats.mean_rows(two)
    plain = stats.paired_difference(*pairs, stats.mean_of)
    wide = stats.paired_difference(*pairs, stats.mean_of, inflation=2.25)
    assert wide.value == plain.value
    assert _width(wide) == pytest.approx(1.5 * _width(plain), rel=0.05)
    theirs = 2 * reference.norm.sf(reference.norm.isf(plain.p_value / 2) / 1.5)
    assert wide.p_value == pytest.approx(theirs, rel=0.1)
    assert wide.spread == pytest.approx(1.5 * plain.spread)
    scores = stats.interval(pairs[0], stats.mean_of), stats.interval(pairs[0], stats.mean_of, inflation=2.25)
    assert _width(scores[1]) == pytest.approx(1.5 * _width(scores[0]), rel=0.05)


def test_inflated_means_of_pairs_are_those_of_fewer_rows() -> None:
    first, second = np.array([1, 1, 0.5, 1, 0, 0.25] * 8), np.array([0, 1, 1, 0.5, 0, 0.5] * 8)
    few = stats.paired_means(first, second)
    many = stats.paired_means(np.tile(first, 4), np.tile(second, 4), inflation=4.0)
    assert (many.value, many.low, many.high, many.p_value) == pytest.approx(
        (few.value, few.low, few.high, few.p_value)
    )
    assert many.spread == pytest.approx(2 * few.spread)
    assert (few.n, many.n) == (48, 192)


def _width(found: stats.Interval | stats.Difference) -> float:
    assert found.low is not None
    assert found.high is not None
    return found.high - found.low


def test_mean_interval_of_right_and_wrong_is_wilson() -> None:
    values = [1.0] * 30 + [0.0] * 10
    assert stats.mean_interval(values) == (0.75, *stats.wilson(30, 40))


def test_mean_interval_of_numbers_agrees_with_scipy() -> None:
    values = np.random.default_rng(3).gamma(2.0, size=400)
    found = stats.mean_interval(values)
    theirs = reference.bootstrap(
        (values,), np.mean, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(theirs.low, abs=0.015)
    assert found.high == pytest.approx(theirs.high, abs=0.015)


def test_nothing_and_one_row_have_no_interval() -> None:
    assert stats.mean_interval([]) == (None, None, None)
    assert stats.mean_interval([0.5]) == (0.5, None, None)
    assert stats.mean_interval([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5)


def test_seed_decides() -> None:
    rows = stats.mean_rows(np.random.default_rng(0).normal(size=50))
    assert stats.interval(rows, stats.mean_of, 1) == stats.interval(rows, stats.mean_of, 1)
    assert stats.interval(rows, stats.mean_of, 1) != stats.interval(rows, stats.mean_of, 2)


def test_resampled_totals_are_of_n_rows_and_do_not_depend_on_the_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = stats.mean_rows(np.arange(30.0))
    whole = stats.resampled(rows, 5, resamples=200)
    monkeypatch.setattr(stats, "_CELLS", 30 * 7)
    np.testing.assert_array_equal(whole, stats.resampled(rows, 5, resamples=200))
    assert set(whole[:, 1]) == {30.0}
    assert whole[:, 0].mean() / 30 == pytest.approx(14.5, abs=0.5)


def test_interval_of_a_ratio() -> None:
    rng = np.random.default_rng(1)
    below = rng.integers(1, 20, 300).astype(float)
    above = rng.binomial(below.astype(int), 0.3).astype(float)
    found = stats.interval(np.stack([above, below], axis=1), stats.mean_of, 0)
    assert found.value == pytest.approx(above.sum() / below.sum())
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.3 < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(0.21 / below.sum()), rel=0.2)


@pytest.mark.parametrize(("n", "share"), [(15, 0.9), (40, 0.5)])
def test_coverage_of_shares(n: int, share: float) -> None:
    right = np.random.default_rng(0).binomial(n, share, size=600)
    inside = [low <= share <= high for low, high in (stats.wilson(int(k), n) for k in right)]
    assert 0.92 <= np.mean(inside) <= 0.99


def test_coverage_of_a_small_skewed_mean() -> None:
    rng = np.random.default_rng(0)
    values = 1 - rng.beta(1, 4, size=(400, 15))  # scores near 1, a few far below; mean 0.8
    found = [stats.mean_interval(one, seed) for seed, one in enumerate(values)]
    inside = np.mean([one.low <= 0.8 <= one.high for one in found])
    assert 0.92 <= inside <= 0.98


def test_interval_of_a_skewed_mean_leans_to_the_long_tail() -> None:
    found = stats.mean_interval([0.99] * 25 + [0.1] * 2)
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert found.value - found.low > 1.3 * (found.high - found.value)


def test_paired_difference_uses_the_pairs() -> None:
    rng = np.random.default_rng(2)
    hard = rng.normal(size=200)
    one, two = stats.mean_rows(hard + 0.1 + rng.normal(0, 0.1, 200)), stats.mean_rows(hard)
    found = stats.paired_difference(one, two, stats.mean_of)
    theirs = reference.ttest_rel(one[:, 0], two[:, 0])
    assert found.value == pytest.approx((one - two)[:, 0].mean())
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval()), abs=0.003)
    assert found.spread == pytest.approx((one - two)[:, 0].std(), rel=0.1)
    assert found.p_value < 0.01


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.2, 0.25, 0.3, 0.5])
def test_paired_p_value_and_interval_say_the_same(shift: float) -> None:
    rng = np.random.default_rng(4)
    one, two = stats.mean_rows(rng.normal(shift, 1, 60)), stats.mean_rows(np.zeros(60))
    found = stats.paired_difference(one, two, stats.mean_of)
    assert found.low is not None
    assert found.high is not None
    assert (found.p_value < 0.05) == (found.low > 0 or found.high < 0)
    theirs = reference.ttest_1samp(one[:, 0], 0).pvalue
    assert found.p_value == pytest.approx(max(theirs, 0.001), abs=0.05)


def test_paired_difference_of_the_same_answers() -> None:
    rows = stats.mean_rows([0.1, 0.9, 0.4])
    found = stats.paired_difference(rows, rows, stats.mean_of)
    assert (found.value, found.low, found.high, found.p_value, found.spread) == (0.0, 0.0, 0.0, 1.0, 0.0)


def test_paired_difference_of_one_row_and_of_none() -> None:
    rows = stats.mean_rows([0.5])
    found = stats.paired_difference(rows, rows * [0.5, 1], stats.mean_of)
    assert (found.value, found.low, found.p_value) == (0.25, None, 1.0)
    with pytest.raises(ValueError, match="no rows"):
        stats.paired_difference(rows[:0], rows[:0], stats.mean_of)
    with pytest.raises(ValueError, match="no rows"):
        stats.paired_shares([], [])


def test_mcnemar_by_hand() -> None:
    assert stats.mcnemar(0, 0) == 1.0
    assert stats.mcnemar(5, 0) == pytest.approx(2 * 0.5**5)
    assert stats.mcnemar(2, 8) == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert stats.mcnemar(3, 3) == 1.0


def test_paired_shares_by_hand() -> None:
    first, second = [1] * 60 + [1] * 12 + [0] * 4 + [0] * 24, [1] * 60 + [0] * 12 + [1] * 4 + [0] * 24
    found = stats.paired_shares(first, second)
    reach = 1.959964 * np.sqrt(17 - 64 / 102) / 102
    assert found.value == pytest.approx(0.08)
    assert (found.low, found.high) == pytest.approx((8 / 102 - reach, 8 / 102 + reach))
    assert found.p_value == stats.mcnemar(12, 4)


def test_rungs_that_never_disagree_are_not_certainly_equal() -> None:
    found = stats.paired_shares([1] * 20, [1] * 20)
    assert (found.value, found.p_value) == (0.0, 1.0)
    assert found.high is not None
    assert found.high > 0.05
    assert stats.paired_shares([1, 1], [0, 0]).high == 1.0


def test_coverage_of_paired_shares() -> None:
    rng = np.random.default_rng(0)
    cells = rng.choice(4, p=[0.6, 0.15, 0.05, 0.2], size=(500, 40))
    found = [stats.paired_shares(one <= 1, (one == 0) | (one == 2)) for one in cells]
    assert 0.92 <= np.mean([one.low <= 0.1 <= one.high for one in found]) <= 0.99


def test_holm_by_hand() -> None:
    assert stats.holm([]) == []
    assert stats.holm([0.02]) == [0.02]
    assert stats.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert stats.holm([0.9, 0.5]) == pytest.approx([1.0, 1.0])


def test_rows_needed_by_formula() -> None:
    assert stats.rows_needed(0.5, 1.0) == 32  # (1.960 + 0.842)^2 / 0.25 = 31.4
    assert stats.rows_needed(-0.5, 1.0) == 32
    assert stats.rows_needed(0.0, 1.0) is None
    assert stats.rows_needed(0.1, 0.0) == 2


def test_rows_needed_are_enough_four_times_in_five() -> None:
    n = stats.rows_needed(0.1, np.sqrt(0.2))
    assert n is not None
    cells = np.random.default_rng(0).multinomial(n, [0.15, 0.05, 0.8], size=400)
    seen = np.mean([stats.mcnemar(int(b), int(c)) < 0.05 for b, c, _ in cells])
    assert 0.7 <= seen <= 0.9


def test_rows_of_one_name_become_their_mean() -> None:
    rows = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    assert stats.by_row(rows, ["b", "a", "b", "c"]).tolist() == [[0.5, 1], [0, 1], [1, 1]]
    assert stats.by_row(rows, ["a", "b", "c", "d"]).tolist() == rows.tolist()


def test_paired_means_of_zeros_and_ones_have_the_interval_of_paired_shares() -> None:
    first, second = [1, 1, 1, 1, 0, 1, 1, 0, 1, 1], [0, 1, 0, 0, 0, 1, 0, 1, 0, 1]
    means, shares = stats.paired_means(first, second), stats.paired_shares(first, second)
    assert (means.value, means.low, means.high, means.spread) == (
        shares.value,
        shares.low,
        shares.high,
        shares.spread,
    )


def test_the_p_value_of_paired_means_agrees_with_the_interval() -> None:
    for gain in np.linspace(0.05, 0.6, 30):
        found = stats.paired_means([gain] * 12 + [0.5], [0.0] * 12 + [1.0])
        assert found.low is not None
        assert (found.p_value < 0.05) == (found.low > 0)
    same = stats.paired_means([0.5] * 9, [0.5] * 9)
    assert (same.value, same.p_value) == (0, 1)
    assert same.low is not None
    assert same.low < 0
    with pytest.raises(ValueError, match="no rows"):
        stats.paired_means([], [])
