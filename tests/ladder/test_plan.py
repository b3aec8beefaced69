"""Fitting the ladder into a budget, on rates that are made up."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from contexts import SLOW, context_of
from rung.config import make_settings
from rung.errors import ResourceError
from rung.ladder.forecast import Rates, Workload, step_tokens
from rung.ladder.plan import EPOCHS, FEWEST_ROWS, SAFETY, Plan, make_plan
from rung.ladder.prepare import Prepared
from rung.ladder.rungs import asked_for
from rung.ladder.workload import measure_workload
from rung.records import Quote, from_json, to_json


@pytest.fixture(scope="module")
def work(prepared: Prepared) -> Workload:
    return measure_workload(prepared, general_tokens=2000)


def planned(
    prepared: Prepared, work: Workload, rates: Rates = SLOW, setup: float = 5.0, **settings: object
) -> Plan:
    chosen = make_settings({"base": "tiny", "shots": "2", **settings})
    context = context_of(replace(prepared, settings=chosen))
    context.work, context.speeds = work, rates
    return make_plan(context, asked_for(chosen), SimpleNamespace(seconds=setup))


def test_without_a_limit_everything_is_used(prepared: Prepared, work: Workload) -> None:
    plan = planned(prepared, work, budget="none")
    parts = prepared.split
    assert (plan.train_rows, plan.dev_rows, plan.test_rows) == (
        len(parts.train),
        len(parts.dev),
        len(parts.test),
    )
    assert plan.epochs == EPOCHS
    assert [quote.rung for quote in plan.quotes] == ["zero-shot", "few-shot", "lora", "full"]
    assert all(quote.fits for quote in plan.quotes)
    assert plan.notes == ()
    assert plan.seconds == pytest.approx(5.0 + sum(quote.seconds or 0 for quote in plan.quotes))


def test_what_the_user_asks_for_is_kept(prepared: Prepared, work: Workload) -> None:
    plan = planned(prepared, work, budget="none", epochs=7, batch_tokens=123, max_dev=10, max_test=11)
    assert (plan.epochs, plan.step_tokens, plan.dev_rows, plan.test_rows) == (7, 123, 10, 11)
    assert plan.notes == (
        f"dev: a seeded sample of 10 of {len(prepared.split.dev)} rows is used",
        f"test: a seeded sample of 11 of {len(prepared.split.test)} rows is used",
    )


def test_rungs_are_quoted_once_and_in_order(prepared: Prepared, work: Workload) -> None:
    plan = planned(prepared, work, budget="none", rungs="lora,zero-shot,lora")
    assert [quote.rung for quote in plan.quotes] == ["zero-shot", "lora"]


def test_a_budget_is_kept_and_shared_alike(prepared: Prepared, work: Workload) -> None:
    for budget in range(120, 1200, 60):
        plan = planned(prepared, work, budget=budget)
        assert plan.seconds <= SAFETY * budget + 0.5  # quotes are rounded
        tuned = [quote for quote in plan.quotes if quote.fits and quote.train_rows]
        assert len({(quote.train_rows, quote.epochs, quote.train_tokens) for quote in tuned}) <= 1
        assert all(quote.test_rows >= FEWEST_ROWS for quote in plan.quotes if quote.fits)


def test_more_time_never_gives_less(prepared: Prepared, work: Workload) -> None:
    def worth(budget: float) -> tuple[float, float]:
        plan = planned(prepared, work, budget=budget)
        return sum(quote.fits for quote in plan.quotes), plan.train_rows * plan.epochs

    seen = [worth(budget) for budget in range(60, 1500, 60)]
    rungs = [count for count, _ in seen]
    assert rungs == sorted(rungs)
    whole = [tokens for count, tokens in seen if count == 4]
    assert whole == sorted(whole)
    assert whole[0] < whole[-1]


def test_the_dearest_rung_goes_first_and_says_so(prepared: Prepared, work: Workload) -> None:
    left_out = []
    for budget in range(90, 9, -1):
        plan = planned(prepared, work, budget=budget, setup=1.0)
        gone = [quote for quote in plan.quotes if not quote.fits]
        assert all(quote == Quote(quote.rung, False, why="does not fit in the budget") for quote in gone)
        left_out.append(tuple(quote.rung for quote in gone))
    stages = list(dict.fromkeys(left_out))
    assert stages == [(), ("full",), ("lora", "full"), ("few-shot", "lora", "full")]


@pytest.mark.parametrize(
    ("rungs", "title", "decode"),
    [
        ("zero-shot,lora", "zero-shot prompting", 100.0),
        ("lora", "LoRA", 100.0),
        ("lora", "LoRA", 0.5),
        ("full", "full fine-tuning", 100.0),
    ],
)
def test_a_budget_too_small_for_any_rung_is_refused_with_what_is_needed(
    prepared: Prepared, work: Workload, rungs: str, title: str, decode: float
) -> None:
    rates = replace(SLOW, decode=decode)
    with pytest.raises(ResourceError) as caught:
        planned(prepared, work, rates, budget=2, rungs=rungs)
    told = str(caught.value)
    assert told.startswith(
        f"the budget of 2 s is too small for any rung. The cheapest one asked for, {title}"
    )
    assert "Give a larger --budget." in told
    needed = float(told.split("needs about ")[1].split(" s")[0])
    assert planned(prepared, work, rates, budget=needed + 1, rungs=rungs).quotes[0].fits
    with pytest.raises(ResourceError):
        planned(prepared, work, rates, budget=0.8 * needed, rungs=rungs)


@pytest.mark.parametrize("epochs", [None, 1.0])
def test_few_rows_are_no_reason_to_leave_tuning_out(
    prepared: Prepared, work: Workload, epochs: float | None
) -> None:
    few = replace(prepared.split, train=prepared.split.train[: FEWEST_ROWS - 7])
    plan = planned(replace(prepared, split=few), work, budget="1h", epochs=epochs)
    assert plan.quote("full").fits
    assert plan.train_rows == FEWEST_ROWS - 7


def test_a_sample_of_the_rows_is_trained_on_where_one_epoch_is_too_much(
    prepared: Prepared, work: Workload
) -> None:
    plan = planned(prepared, work, budget=60, epochs=4, rungs="lora")
    assert FEWEST_ROWS <= plan.train_rows < len(prepared.split.train)
    assert plan.epochs == 4
    assert f"train: a seeded sample of {plan.train_rows} of" in plan.notes[0]


def test_quotes_carry_memory_and_money(prepared: Prepared, work: Workload) -> None:
    plan = planned(prepared, work, budget="none", price_per_hour=36)
    lora, zero = plan.quote("lora"), plan.quote("zero-shot")
    assert lora.money == pytest.approx((lora.seconds or 0) * 0.01, abs=0.001)
    assert lora.memory_bytes is not None
    assert (zero.memory_bytes, zero.train_rows, zero.epochs, zero.train_tokens) == (None, 0, 0.0, 0)
    assert lora.train_tokens == round(work.row_tokens * len(prepared.split.train) * EPOCHS)
    assert planned(prepared, work, budget="none").quote("lora").money is None


def test_a_plan_survives_the_disk(prepared: Prepared, work: Workload) -> None:
    plan = planned(prepared, work, budget=400)
    assert from_json(Plan, to_json(plan)) == plan


def test_training_stops_where_the_rest_of_the_budget_begins(prepared: Prepared, work: Workload) -> None:
    plan = planned(prepared, work, budget=600.0)
    lora, full = plan.quote("lora"), plan.quote("full")
    assert None not in (lora.train_seconds, full.seconds, full.train_seconds)
    assert plan.train_limit("zero-shot", 0.0) is None
    assert plan.train_limit("lora", 0.0) == pytest.approx(1.5 * lora.train_seconds)
    answering = full.seconds - full.train_seconds
    late = 600.0 - answering - 1.2 * full.train_seconds
    assert plan.train_limit("full", late) == pytest.approx(1.2 * full.train_seconds)
    assert plan.train_limit("full", 600.0) == pytest.approx(0.5 * full.train_seconds)
    assert planned(prepared, work, budget="none").train_limit("lora", 0.0) is None


def test_few_rows_are_learned_from_in_small_steps(prepared: Prepared, work: Workload) -> None:
    free = replace(prepared, settings=make_settings({"base": "tiny"}))
    rows = [step_tokens(free.settings, work, n, 2.0) / work.row_tokens for n in (20, 300, 100_000)]
    assert rows == pytest.approx([4, 600 / 64, 16], rel=0.01)
    asked = replace(prepared, settings=make_settings({"base": "tiny", "batch_tokens": 7}))
    assert step_tokens(asked.settings, work, 300, 2.0) == 7
