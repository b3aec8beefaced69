"""Ranges of quotes, against numbers worked out by hand."""

from __future__ import annotations

import pytest

from rung.ladder import ranges


def test_seconds_may_be_a_quarter_off_and_the_spread_of_the_timings() -> None:
    assert ranges.of_seconds(100.0, 0.0) == pytest.approx((75.0, 125.0))
    assert ranges.of_seconds(100.0, 0.1) == pytest.approx((65.0, 135.0))


def test_however_wide_the_timings_are_a_quarter_is_left() -> None:
    assert ranges.of_seconds(100.0, 2.0) == pytest.approx((25.0, 325.0))


def test_what_a_rung_says_itself_is_inside_the_range() -> None:
    assert ranges.of_seconds(100.0, 0.0, low=40.0, high=120.0) == pytest.approx((30.0, 150.0))
    assert ranges.of_seconds(100.0, 0.0, low=100.0, high=100.0) == pytest.approx((75.0, 125.0))


def test_what_was_not_timed_may_be_three_times_off() -> None:
    assert ranges.of_untimed(9.0) == pytest.approx((3.0, 27.0))


def test_memory_may_be_a_tenth_less_or_three_tenths_more() -> None:
    assert ranges.of_bytes(1000) == (900, 1300)
    assert ranges.of_bytes(None) == (None, None)


def test_spreads_count_by_their_share_of_the_seconds() -> None:
    assert ranges.spread_of(0.5, 0.0, 0.8) == pytest.approx(0.4)
    assert ranges.spread_of(0.5, 0.1, 0.0) == pytest.approx(0.1)
