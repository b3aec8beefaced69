"""The memory of a training: what was measured, arithmetic for the rest, and passes that fit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contexts import SLOW, context_of
from rung import cost, machine
from rung.generate import checks
from rung.ladder import memory
from rung.ladder.forecast import step_tokens
from rung.ladder.plan import Plan, _notes
from rung.ladder.prepare import Prepared
from rung.ladder.quote import Allowance, Timing
from rung.ladder.rungs import RUNGS
from rung.records import Quote

HELD, PEAK = 1_000_000_000, 3_000_000_000
WHOLE = PEAK + memory.LATER
RATE = replace(SLOW.train["full"], peak_bytes=PEAK - HELD, pass_tokens=400, pass_share=0.5)


@pytest.fixture(autouse=True)
def held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "resident", lambda: HELD)


def free(monkeypatch: pytest.MonkeyPatch, size: int | None) -> None:
    monkeypatch.setattr(machine, "free_memory", lambda: size)


def context_with_steps(prepared: Prepared, tokens: int) -> memory.Context:
    """A context on a method that was measured, with optimizer steps of so many tokens."""
    context = context_of(prepared, settings=prepared.settings.model_copy(update={"batch_tokens": tokens}))
    context.speeds = replace(SLOW, train={"full": RATE})
    return context


def test_what_was_measured_is_quoted_where_the_passes_are_as_large(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, None)
    context = context_with_steps(prepared, 800)  # one pass that computes 0.5 * 800 tokens
    assert memory.need(context, "full") == memory.Need(WHOLE, 1024)
    more = context_with_steps(prepared, 2400)  # two passes of 1,200
    grown = 200 * memory.token_bytes(prepared)
    assert memory.need(more, "full").bytes == WHOLE + grown


def test_passes_are_halved_until_they_fit(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    context = context_with_steps(prepared, 800)
    each = memory.token_bytes(prepared)
    for pack, computed in ((1024, 400), (512, 200), (256, 800 / 3 / 2), (128, 800 / 6 / 2)):
        needed = WHOLE + round((computed - 400) * each)
        free(monkeypatch, needed - HELD)
        context.room = None
        assert memory.need(context, "full") == memory.Need(needed, pack)
    free(monkeypatch, needed - HELD - 1)
    context.room = None
    need = memory.need(context, "full")
    assert (need.bytes, need.pack_tokens) == (needed, 128)
    assert need.why == "it needs about 3.2 GB of memory, 3.2 GB are there"


def test_a_rung_that_does_not_fit_is_left_out_untimed(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 1000)
    context = context_of(prepared)
    context.speeds = Timing(prepared, context.work, (), 256, 100, Allowance(None))
    quote = RUNGS["full"].quote(context)
    assert not quote.fits
    assert not quote.failed
    assert "of memory, 1.0 GB are there" in quote.why
    assert not context.speeds.train


def test_smaller_passes_are_in_the_quote_and_reach_the_training(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_with_steps(prepared, 800)
    free(monkeypatch, WHOLE - HELD - 1)
    quote = RUNGS["full"].quote(context)
    assert (quote.fits, quote.pack_tokens) == (True, 512)
    plan = Plan((quote, Quote("lora", fits=True)), 10, 10, 20, 1.0, 800, 1024, None, 0.0, "fp32")
    assert plan.of("full", context).pack_tokens == 512
    assert plan.of("lora", context).pack_tokens == 1024
    note = "full: passes of 512 tokens, so that it fits into memory"
    assert note in _notes(context, [quote], context.size)
    assert plan.of("full", context).step_tokens == step_tokens(
        context.settings, context.work, quote.train_rows, quote.epochs
    )


def test_real_steps_are_measured(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    context = context_of(prepared)
    timing = Timing(prepared, context.work, (), 1024, 200, Allowance(None))
    rate = timing.train["lora"]
    assert rate.peak_bytes >= rate.held_bytes >= 0
    assert 0 < rate.pass_tokens <= 300
    assert 0 < rate.pass_share <= 1.0


def test_a_guess_differs_from_what_was_measured_by_what_the_methods_hold(prepared: Prepared) -> None:
    lora = replace(SLOW.train["lora"], peak_bytes=PEAK - HELD, parameters=1000)
    weights = [weight.numel() for weight in prepared.base.model.parameters()]
    words = prepared.base.model.get_input_embeddings().weight.numel()
    wanted = (
        PEAK - HELD - 16 * 1000 + 12 * sum(weights) + (4 + 2 * 4) * words
    )  # in fp32 there is no other copy
    assert memory.guessed(prepared, "full", sum(weights), "lora", lora) == wanted
    assert memory.guessed(prepared, "full", sum(weights), "lora", replace(lora, peak_bytes=0)) == 0


def test_without_a_measurement_it_is_arithmetic(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, None)
    few, more = (memory.expected(prepared, "lora", 512, parameters) for parameters in (1000, 1001))
    assert more - few == 16
    assert memory.expected(prepared, "lora", 1024) - memory.expected(
        prepared, "lora", 512
    ) == 512 * memory.token_bytes(prepared)
    context = context_of(prepared)  # of made-up speeds
    parameters = SLOW.train["lora"].parameters
    assert memory.need(context, "lora").bytes == HELD + memory.expected(prepared, "lora", 1024, parameters)


def test_the_passes_of_a_step_are_of_one_size() -> None:
    assert memory.largest_pass(800, 1024) == 800
    assert memory.largest_pass(1500, 1024) == 1500
    assert memory.largest_pass(2400, 1024) == 1200


def test_writing_answers_can_take_more_than_training(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, None)
    context = context_with_steps(prepared, 800)
    context.work = replace(context.work, longest_prompt=500, longest_answer=20)
    # 2 layers with 2 heads of 8 numbers in fp32, for 100 rows that are decoded 64 at a time
    cache, logits = 2 * 2 * 2 * 8 * 4, 8 * 259
    reading = 2048 * (3 * 64 + 4 * 32) * 4
    for test, together in ((100, 64), (10, 10)):
        context.size = replace(context.size, test=test)
        wanted = together * ((520 + 500) * cache + logits) + reading
        assert memory.answering_bytes(context) == wanted
    context.speeds = replace(SLOW, train={"full": replace(RATE, held_bytes=PEAK)})
    assert memory.need(context, "full").bytes == HELD + PEAK + wanted


def test_dev_rows_that_are_answered_while_training_count(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, None)
    context = context_with_steps(prepared, 800)
    context.work = replace(context.work, longest_prompt=400_000)
    monkeypatch.setattr(checks, "places_for", lambda *_: 64)
    answering, held = memory.answering_bytes(context), memory.method_bytes(prepared, "full", RATE.parameters)
    assert memory.need(context, "full").bytes == HELD + held + answering
    monkeypatch.setattr(memory, "judged_rows", lambda *_: 0)
    assert memory.need(context, "full").bytes == HELD + RATE.held_bytes + answering


def test_the_memory_of_the_machine_is_read_once_for_a_plan(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_with_steps(prepared, 800)
    read: list[int] = []
    monkeypatch.setattr(machine, "free_memory", lambda: read.append(1))
    for _ in range(5):
        RUNGS["full"].quote(context)
    assert read == [1]
