"""What the tuned rungs share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from contexts import SLOW, context_of
from rung.errors import UsageError
from rung.evaluation import forgetting
from rung.ladder.forecast import train_seconds, tuned_answer_seconds
from rung.ladder.plan import Plan
from rung.ladder.prepare import Prepared
from rung.ladder.rungs.tune import TuneRung
from tiny_model import copy_of, same_bytes

RUNG = TuneRung("mine", "my LoRA", method="lora")


def test_a_quote_is_training_and_answering(prepared: Prepared) -> None:
    context = context_of(prepared)
    quote, rate = RUNG.quote(context), SLOW.train["lora"]
    training = train_seconds(
        context.settings, context.work, SLOW, rate, context.size, len(prepared.split.dev)
    )
    assert quote.train_seconds == training
    assert quote.seconds == training + tuned_answer_seconds(context.work, SLOW, context.size)
    assert quote.disk_bytes == (2 * 4 + 1) * 4 * rate.parameters
    assert (quote.rung, quote.train_rows) == ("mine", len(prepared.split.train))


def test_a_fault_after_training_takes_the_method_off(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = copy_of(prepared.base.model)
    context = context_of(prepared, tmp_path)
    context.settle(Plan((), 10, 10, 20, 1.0, 200, 256, None, 0.0, "fp32"))
    monkeypatch.setattr(forgetting, "drift", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        RUNG.run(context, None)
    assert same_bytes(before, copy_of(prepared.base.model))
    assert (tmp_path / "adapters" / "mine" / "adapter_model.safetensors").is_file()


def test_an_unknown_method_is_said_when_it_is_timed(prepared: Prepared) -> None:
    context = context_of(prepared)
    del context.speeds
    with pytest.raises(UsageError, match="unknown method 'lorra'"):
        TuneRung("mine", "x", method="lorra").quote(context)


def test_forgetting_is_measured_on_the_texts_there_is_time_for(prepared: Prepared) -> None:
    context = context_of(prepared)
    every, tokens = len(context.texts), context.work.general_tokens
    rung = TuneRung("mine", "my LoRA", method="lora")

    def texts(seconds: float, budget: float | None) -> int:
        rate = replace(SLOW.train["lora"], forget_seconds=seconds / tokens)
        context.speeds = replace(SLOW, train={"lora": rate})
        context.settings = context.settings.model_copy(update={"budget": budget})
        return rung._texts(context)

    assert texts(100.0, None) == every
    assert texts(1.0, 20.0) == every
    assert 8 < texts(2.0, 20.0) == every // 2
    assert texts(1000.0, 20.0) == 8
