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
    evaluation_rows,
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
    assert step_tokens(make_settings({}), WORK, 64, 2.0) == 4 * 50
    assert step_tokens(make_settings({}), WORK, 10_000, 2.0) == 16 * 50


def test_a_tuned_model_reads_the_tail_and_writes_the_target() -> None:
    assert tuned_answer_seconds(WORK, SPEEDS, SIZE) == pytest.approx(100 * (20 / 1000 + 4 / 10))


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
