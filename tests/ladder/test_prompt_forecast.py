"""What prompting costs, against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contexts import SIZE, WORK
from rung.ladder.forecast import Rates
from rung.ladder.prompt_forecast import Ask, prompt_seconds

SPEEDS = Rates(prefill=1000.0, decode=10.0, train={})
SHORT, LONG = Ask(0, 20.0), Ask(300, 100.0)
SHORT_ROW, LONG_ROW = 20 / 1000 + 8 / 10, 100 / 1000 + 1.1 * 8 / 10


def test_one_way_reads_dev_and_test_rows() -> None:
    found = prompt_seconds(WORK, SPEEDS, SIZE, [[SHORT]])
    assert found == pytest.approx((120 * SHORT_ROW,) * 3)


def test_two_ways_both_read_dev_and_the_most_expensive_one_is_expected_on_test() -> None:
    low, seconds, high = prompt_seconds(WORK, SPEEDS, SIZE, [[SHORT, LONG]])
    dev = 20 * (SHORT_ROW + LONG_ROW) + 0.3
    assert low == pytest.approx(dev + 100 * SHORT_ROW)
    assert seconds == pytest.approx(dev + 100 * LONG_ROW + 0.3)
    assert high == pytest.approx(seconds)


def test_halving_reads_less_than_all_rows_with_all_ways() -> None:
    size = replace(SIZE, dev=200)
    ways = [SHORT] * 8
    low, seconds, high = prompt_seconds(WORK, SPEEDS, size, [ways])
    rows = 8 * 50 + 4 * 50 + 2 * 100  # of 8 * 200
    assert low == pytest.approx(seconds) == pytest.approx(high) == pytest.approx((rows + 100) * SHORT_ROW)


def test_a_second_stage_is_added() -> None:
    once = prompt_seconds(WORK, SPEEDS, SIZE, [[SHORT], []])[1]
    twice = prompt_seconds(WORK, SPEEDS, SIZE, [[SHORT], [SHORT]])[1]
    assert twice - once == pytest.approx(20 * SHORT_ROW)


def test_answers_that_do_not_end_are_written_to_the_limit() -> None:
    size, work = replace(SIZE, dev=0), replace(WORK, longest_answer=50)
    usual = prompt_seconds(work, SPEEDS, size, [[SHORT]])[1]
    long = prompt_seconds(work, SPEEDS, size, [[replace(SHORT, written=99.0)]])[1]
    assert long - usual == pytest.approx(100 * (50 - 10) / 10)


def test_what_is_read_before_the_first_prompt_is_read_once() -> None:
    size = replace(SIZE, dev=200)
    plain = prompt_seconds(WORK, SPEEDS, size, [[SHORT, SHORT], [SHORT]])
    read = prompt_seconds(WORK, SPEEDS, size, [[SHORT, SHORT], [replace(SHORT, before=500.0)]])
    assert [b - a for a, b in zip(plain, read, strict=True)] == pytest.approx([0.5] * 3)


def test_labels_are_scored_at_the_rate_that_was_timed() -> None:
    labels, speeds = replace(WORK, label_tokens=10), replace(SPEEDS, score=0.03)
    low = prompt_seconds(labels, speeds, SIZE, [[SHORT]])[0]
    assert low == pytest.approx(20 * SHORT_ROW + 120 * 0.03)
    longer = prompt_seconds(labels, speeds, SIZE, [[Ask(0, 50.0)]])[0]
    assert longer == pytest.approx(20 * (SHORT_ROW + 30 / 1000) + 120 * (0.03 + 30 / 1000))


def test_no_way_costs_nothing() -> None:
    assert prompt_seconds(WORK, SPEEDS, SIZE, [[], []]) == (0.0, 0.0, 0.0)
