"""Arithmetic of a forecast, against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contexts import SIZE, WORK
from rung.config import make_settings
from rung.ladder.forecast import (
    Rates,
    TrainRate,
    allowance,
    choosing_seconds,
    evaluation_rows,
    judged_in_time,
    judged_rows,
    judging_seconds,
    labels_cheaper,
    picks_in_time,
    step_tokens,
    train_seconds,
    tuned_answer_seconds,
)
from rung.records import from_json, to_json

RATE = TrainRate(tokens_per_second=100.0, step_seconds=0.5, attach_seconds=2.0, parameters=10)
SPEEDS = Rates(prefill=1000.0, decode=10.0, train={"lora": RATE})


def test_training_is_tokens_steps_and_measuring_dev_loss() -> None:
    settings = make_settings({"batch_tokens": 640})
    tokens, measuring = 64 * 50 * 2, 6 * 16 * 50 / 1000
    wanted = 2.0 + tokens / 100 + tokens / 640 * 0.5 + measuring
    assert train_seconds(settings, WORK, SPEEDS, RATE, SIZE, dev_rows=30) == pytest.approx(wanted)


@pytest.mark.parametrize(("rows", "dev_rows"), [(20, 16), (400, 60), (10_000, 64)])
def test_measuring_dev_loss_costs_a_small_share_of_the_training(rows: int, dev_rows: int) -> None:
    assert evaluation_rows(rows, 2.0) == dev_rows


def test_a_step_has_as_many_tokens_as_asked_or_a_few_rows() -> None:
    assert step_tokens(make_settings({"batch_tokens": 7}), WORK, 64, 2.0) == 7
    assert step_tokens(make_settings({}), WORK, 64, 2.0) == 2 * 50
    assert step_tokens(make_settings({}), WORK, 10_000, 2.0) == 16 * 50


def test_a_tuned_model_reads_the_tail_and_writes_the_target() -> None:
    assert tuned_answer_seconds(WORK, SPEEDS, SIZE) == pytest.approx(100 * (20 / 1000 + 4 / 10))


def test_a_tuned_model_with_labels_is_quoted_in_the_slower_way() -> None:
    labels, quick = replace(WORK, label_tokens=3), replace(SPEEDS, score=0.1)
    assert tuned_answer_seconds(labels, quick, SIZE, picks=True) == pytest.approx(100 * 0.42)
    slow = replace(SPEEDS, score=2.0)
    assert tuned_answer_seconds(labels, slow, SIZE, picks=True) == pytest.approx(200)
    assert tuned_answer_seconds(labels, slow, SIZE) == pytest.approx(100 * 0.42)
    assert (picks_in_time(labels, replace(SPEEDS, score=1.25)), picks_in_time(labels, slow)) == (True, False)
    assert choosing_seconds(labels, quick, SIZE) == pytest.approx(20 * (0.42 + 0.1))
    assert choosing_seconds(labels, quick, replace(SIZE, dev=500)) == pytest.approx(96 * (0.42 + 0.1))


def test_dev_rows_are_judged_where_that_is_a_tenth_of_the_training() -> None:
    """A written answer costs 20 + 3 * 4 tokens, a picked one 20 + 2.5 * 3; training 3 * 50 a row."""
    labels = replace(WORK, label_tokens=3)
    assert judged_rows(WORK, 100, 2.0, 100) == 0  # 15 rows say too little
    assert judged_rows(WORK, 200, 2.0, 100) == 31
    assert judged_rows(labels, 200, 2.0, 100) == 36
    assert judged_rows(labels, 10_000, 2.0, 100) == 64
    assert judged_rows(labels, 10_000, 2.0, 30) == 30
    assert judged_rows(labels, 10_000, 2.0, 23) == 0


def test_judged_rows_in_seconds() -> None:
    labels, speeds = replace(WORK, label_tokens=3), replace(SPEEDS, score=0.1)
    assert judging_seconds(labels, speeds, 30) == pytest.approx(6 * 30 * 0.1)
    assert judging_seconds(WORK, speeds, 30) == pytest.approx(6 * 30 * 0.42)
    assert judged_in_time(labels, speeds, 180.1) == 30
    assert judged_in_time(labels, SPEEDS, 180.1) == 64  # not timed


def test_to_pick_a_label_is_cheaper_where_few_tokens_are_read() -> None:
    assert not labels_cheaper(WORK)
    assert labels_cheaper(replace(WORK, label_tokens=4))
    assert not labels_cheaper(replace(WORK, label_tokens=5))


def test_a_slower_machine_takes_longer_for_everything() -> None:
    rate = replace(RATE, forget_seconds=0.25)
    slow = replace(SPEEDS, score=3.0, train={"lora": rate}).slower(training=2.0, answering=4.0)
    assert (slow.prefill, slow.decode, slow.score) == (250.0, 2.5, 12.0)
    assert slow.train["lora"] == TrainRate(50.0, 1.0, 4.0, 10, forget_seconds=0.5)
    settings = make_settings({"batch_tokens": 640})
    fast = train_seconds(settings, WORK, SPEEDS, RATE, SIZE, dev_rows=0)
    assert train_seconds(settings, WORK, slow, slow.train["lora"], SIZE, dev_rows=0) == 2 * fast
    assert from_json(Rates, to_json(slow)) == slow


def test_an_answer_may_be_longer_than_the_longest_target() -> None:
    assert [allowance(longest) for longest in (1, 2, 21, 100)] == [13, 15, 43, 162]
