"""Fitting the ladder into a budget, on rates that are made up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from contexts import SLOW, context_of
from rung.config import make_settings
from rung.errors import ResourceError
from rung.ladder.context import Context
from rung.ladder.fitting import FEWEST_ROWS, FEWEST_TEST, Fitted, Fitting
from rung.ladder.forecast import Rates, Workload, step_tokens
from rung.ladder.plan import EPOCHS, MOST_TEST, SAFETY, Plan, enough_test_rows, make_plan, most_of
from rung.ladder.prepare import Prepared
from rung.ladder.rungs import RUNGS, Rung, asked_for
from rung.ladder.workload import measure_workload
from rung.records import Quote, from_json, to_json

FOUR = "zero-shot,few-shot,lora,full"


@pytest.fixture(scope="module")
def work(prepared: Prepared) -> Workload:
    return measure_workload(prepared, general_tokens=2000)


def planned(
    prepared: Prepared, work: Workload, rates: Rates = SLOW, setup: float = 5.0, **settings: object
) -> Plan:
    chosen = make_settings({"base": "tiny", "shots": "2", "rungs": FOUR, "kl_penalty": 0, **settings})
    return make_plan(
        context_for(prepared, work, rates, **settings), asked_for(chosen), SimpleNamespace(seconds=setup)
    )


def context_for(prepared: Prepared, work: Workload, rates: Rates = SLOW, **settings: object) -> Context:
    chosen = make_settings({"base": "tiny", "shots": "2", "rungs": FOUR, "kl_penalty": 0, **settings})
    context = context_of(replace(prepared, settings=chosen))
    context.work, context.speeds = work, rates
    return context


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
        f"11 of {len(prepared.split.test)} test rows are in use",
        f"choices are made on 10 of {len(prepared.split.dev)} dev rows",
    )


def test_a_run_that_continues_keeps_what_changes_rounding(prepared: Prepared, work: Workload) -> None:
    plan = planned(prepared, work, budget="none")
    assert (plan.precision, plan.threads) == ("fp32", prepared.device.threads)
    two = replace(plan, threads=2)
    assert two.kept(None) == {"precision": "fp32", "threads": 2}
    assert two.kept(1) == {"precision": "fp32"}  # the user's count
    assert replace(two, precision="bf16").kept(None) == {"precision": "bf16"}  # follows other processes
    assert replace(two, precision="").kept(None) == {}  # no rung needs a base


def test_rungs_are_quoted_once_and_in_order(prepared: Prepared, work: Workload) -> None:
    plan = planned(prepared, work, budget="none", rungs="lora,zero-shot,lora")
    assert [quote.rung for quote in plan.quotes] == ["zero-shot", "lora"]


def test_a_budget_is_kept_and_shared_alike(prepared: Prepared, work: Workload) -> None:
    for budget in range(120, 1200, 60):
        plan = planned(prepared, work, budget=budget)
        assert plan.seconds <= SAFETY * budget + 0.5  # quotes are rounded
        tuned = [quote for quote in plan.quotes if quote.fits and quote.train_rows]
        assert len({(quote.train_rows, quote.epochs, quote.train_tokens) for quote in tuned}) <= 1
        assert {quote.test_rows for quote in plan.quotes if quote.fits} == {len(prepared.split.test)}


def test_more_time_never_gives_less(prepared: Prepared, work: Workload) -> None:
    def worth(budget: float) -> tuple[float, float]:
        plan = planned(prepared, work, budget=budget)
        return sum(quote.fits for quote in plan.quotes), plan.train_rows * plan.epochs

    seen = [worth(budget) for budget in range(60, 1500, 60)]
    rungs = [count for count, _ in seen]
    assert rungs == sorted(rungs)
    whole = [tokens for count, tokens in seen if count == 4]
    assert len(whole) > 2
    assert whole == sorted(whole)
    assert whole[0] < whole[-1]


def test_the_most_expensive_rung_goes_first_and_tuning_is_still_compared_with_a_prompt(
    prepared: Prepared, work: Workload
) -> None:
    left_out = []
    for budget in range(130, 14, -4):
        plan = planned(prepared, work, budget=budget, setup=1.0)
        gone = [quote for quote in plan.quotes if not quote.fits]
        for quote in gone:
            assert quote.why.startswith("it does not fit into the budget; about ")
            assert replace(quote, why="") == Quote(quote.rung, fits=False)
        left_out.append(tuple(quote.rung for quote in gone))
    stages = list(dict.fromkeys(left_out))
    assert stages == [
        (),
        ("full",),
        ("few-shot", "full"),
        ("lora", "full"),  # no time for LoRA and one prompt, so there is for two prompts
        ("few-shot", "lora", "full"),
    ]


def test_a_rung_of_the_plan_before_is_not_given_up_for_another_one(
    prepared: Prepared, work: Workload
) -> None:
    """The prompts are expensive, and cheaper than LoRA."""
    plans = (planned(prepared, work, budget=budget, setup=1.0) for budget in range(130, 14, -4))
    first = next(plan for plan in plans if not plan.quote("few-shot").fits)
    assert [quote.rung for quote in first.quotes if quote.fits] == ["zero-shot", "lora"]
    context = context_for(prepared, work, budget=first.budget)
    rungs = [RUNGS["few-shot"], RUNGS["lora"], RUNGS["full"]]
    spent = 1.0 + (first.quote("zero-shot").seconds or 0.0)
    again = make_plan(context, rungs, SimpleNamespace(seconds=spent), first)
    assert again.quote("lora").fits
    assert not again.quote("few-shot").fits


def named(quote: Quote) -> float:
    """The budget, in seconds, that a quote says would do."""
    words = quote.why.removeprefix("it does not fit into the budget; about ").removesuffix(" would do")
    units = {"s": 1, "min": 60, "h": 3600}
    parts = words.split()
    return sum(float(number) * units[unit] for number, unit in zip(parts[::2], parts[1::2], strict=True))


def grown(real: Callable[[Rung, Context], Quote], share: float) -> Callable[[Rung, Context], Quote]:
    """Quotes that take `share` of the budget more."""

    def quote(self: Rung, given: Context) -> Quote:
        found = real(self, given)
        return replace(found, seconds=(found.seconds or 0.0) + share * (given.settings.budget or 0.0))

    return quote


@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("budget", [16, 40])
def test_the_budget_that_is_named_would_do(
    prepared: Prepared, work: Workload, budget: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a rung takes more of a larger budget, as the probe does."""
    zero = type(RUNGS["zero-shot"])
    monkeypatch.setattr(zero, "quote", grown(zero.quote, share))
    gone = [quote for quote in planned(prepared, work, budget=budget, setup=1.0).quotes if not quote.fits]
    assert gone
    for quote in gone:
        enough = planned(prepared, work, budget=named(quote), setup=1.0)
        assert enough.quote(quote.rung).fits
        less = planned(prepared, work, budget=0.85 * named(quote), setup=1.0)
        assert not less.quote(quote.rung).fits


def test_where_no_budget_would_do_none_is_named(
    prepared: Prepared, work: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = type(RUNGS["full"])
    fits: list[float | None] = []
    real = Fitting.fit

    def fit(self: Fitting, *rest: Any, **more: Any) -> Fitted | None:
        fits.append(self.time)
        return real(self, *rest, **more)

    monkeypatch.setattr(Fitting, "fit", fit)
    monkeypatch.setattr(full, "quote", grown(full.quote, 1.0))
    plan = planned(prepared, work, budget=600, rungs="zero-shot,full")
    assert plan.quote("zero-shot").fits
    assert plan.quote("full").why == "it does not fit into the budget, nor into much larger ones"
    assert len(fits) < 60  # up to four for each of 12 budgets
    assert plan.budget == 600


@pytest.mark.parametrize(
    ("rungs", "title", "decode"),
    [
        ("zero-shot", "zero-shot prompting", 100.0),
        ("lora", "LoRA", 100.0),
        ("lora", "LoRA", 0.5),
        ("full", "full fine-tuning", 100.0),
        ("zero-shot,lora", "zero-shot prompting", 100.0),
        ("zero-shot,few-shot", "zero-shot prompting", 100.0),
        ("few-shot,full", "few-shot prompting", 100.0),
        ("lora,full", "LoRA", 100.0),
        (FOUR, "zero-shot prompting", 100.0),
        (FOUR, "LoRA", 1.0),
    ],
)
def test_a_budget_too_small_for_any_rung_is_refused_with_what_is_needed(
    prepared: Prepared, work: Workload, rungs: str, title: str, decode: float
) -> None:
    rates = replace(SLOW, decode=decode)
    with pytest.raises(ResourceError) as caught:
        planned(prepared, work, rates, budget=2, rungs=rungs)
    message = str(caught.value)
    assert message.startswith(
        f"the budget of 2 s is too small for any rung. The cheapest one asked for, {title}"
    )
    assert "Give a larger --budget." in message
    needed = float(message.split("needs about ")[1].split(" s")[0])
    assert any(quote.fits for quote in planned(prepared, work, rates, budget=needed, rungs=rungs).quotes)
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
    left = f"{plan.train_rows} of {len(prepared.split.train)}"
    assert plan.notes == (f"lora: the budget left {left} train rows in use",)


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


def test_training_stops_where_the_rest_of_the_rungs_time_begins(prepared: Prepared, work: Workload) -> None:
    plan = planned(prepared, work, budget=300.0)
    lora = plan.quote("lora")
    assert plan.train_limit("zero-shot") is None
    assert lora.train_seconds is not None
    spare = 300.0 - plan.seconds
    assert 0 < spare < 0.5 * lora.train_seconds
    assert plan.train_limit("lora") == pytest.approx(lora.train_seconds + spare, abs=0.3)
    roomy = planned(prepared, work, budget=6000.0)
    training = roomy.quote("lora").train_seconds
    assert roomy.train_limit("lora") == pytest.approx(1.5 * training, abs=0.3)
    assert planned(prepared, work, budget="none").train_limit("lora") is None


def test_test_rows_are_as_many_as_show_five_points(prepared: Prepared) -> None:
    assert 300 <= enough_test_rows() <= 400
    many = replace(prepared.split, test=prepared.split.test * 30)
    assert most_of(make_settings({"budget": 60}), many).test == enough_test_rows()
    assert most_of(make_settings({"budget": "none"}), many).test == MOST_TEST < len(many.test)
    assert most_of(make_settings({"budget": 60, "max_test": 700}), many).test == 700
    assert most_of(make_settings({"budget": 60}), prepared.split).test == len(prepared.split.test)


def test_a_rung_with_expensive_answers_answers_fewer_test_rows_alone(
    prepared: Prepared, work: Workload
) -> None:
    many = replace(prepared, split=replace(prepared.split, test=prepared.split.test * 10))
    plan = planned(many, work, replace(SLOW, score=0.6), budget=360, setup=1.0, rungs="zero-shot,lora")
    zero, lora = plan.quotes
    assert plan.test_rows == enough_test_rows() == lora.test_rows
    assert FEWEST_TEST <= zero.test_rows < plan.test_rows
    assert f"zero-shot: the budget left {zero.test_rows} of 400 test rows in use" in plan.notes
    assert "393 of 400 test rows are in use, enough to see a difference of 5 points" in plan.notes


@pytest.mark.parametrize("budget", [20, 60, 150, 400])
@pytest.mark.parametrize("score", [0.01, 0.3, 2.0])
def test_no_plan_has_fewer_than_a_hundred_test_rows(
    prepared: Prepared, work: Workload, budget: float, score: float
) -> None:
    many = replace(prepared, split=replace(prepared.split, test=prepared.split.test * 10))
    rates = replace(SLOW, score=score)
    plan = planned(many, work, rates, budget=budget, setup=1.0, rungs="constant,zero-shot,few-shot,lora")
    assert plan.test_rows == enough_test_rows()
    assert all(quote.test_rows >= FEWEST_TEST for quote in plan.quotes if quote.fits)
    assert plan.seconds <= SAFETY * budget + 1


def test_a_plan_is_made_again_for_the_rungs_that_are_left(prepared: Prepared, work: Workload) -> None:
    context = context_for(prepared, work, budget=300)
    rungs = asked_for(context.settings)
    first = make_plan(context, rungs, SimpleNamespace(seconds=5.0))
    begun = replace(first, begun=("zero-shot", "few-shot"))

    def again(seconds: float) -> Plan:
        context.size = most_of(context.settings, context.whole)
        return make_plan(context, rungs[2:], SimpleNamespace(seconds=seconds), begun)

    early, late, too_late = again(20.0), again(150.0), again(297.0)
    assert early.quotes[:2] == late.quotes[:2] == first.quotes[:2]
    assert early.epochs > late.epochs or early.train_rows > late.train_rows
    assert late.seconds <= 300
    assert [quote.fits for quote in too_late.quotes] == [True, True, False, False]
    assert too_late.size == first.size
    assert early.of("lora", context).step_tokens == early.step_tokens > late.step_tokens
    assert early.begun == begun.begun


def test_a_rung_that_did_not_fit_gets_a_second_look(prepared: Prepared, work: Workload) -> None:
    context = context_for(prepared, work, budget=40)
    rungs = asked_for(context.settings)
    first = make_plan(context, rungs, SimpleNamespace(seconds=1.0))
    assert not first.quote("full").fits
    context.speeds = SLOW.slower(training=0.1, answering=0.1)
    context.size = most_of(context.settings, context.whole)
    again = make_plan(context, rungs[1:], SimpleNamespace(seconds=1.0), replace(first, begun=("zero-shot",)))
    assert again.quote("full").fits


def test_quotes_have_a_range_that_grows_with_the_spread_of_timings(
    prepared: Prepared, work: Workload
) -> None:
    def width(spread: float) -> float:
        quote = planned(prepared, work, replace(SLOW, spread=spread), budget="none").quote("lora")
        assert quote.low is not None
        assert quote.high is not None
        assert quote.low < (quote.seconds or 0) < quote.high
        return quote.high - quote.low

    assert width(0.0) < width(0.3)


def test_the_rates_of_the_machine_are_kept(prepared: Prepared, work: Workload) -> None:
    assert planned(prepared, work, budget=300).rates == SLOW
    assert planned(prepared, work, budget=300, rungs="constant").rates is None


def test_few_rows_are_learned_from_in_small_steps(prepared: Prepared, work: Workload) -> None:
    free = replace(prepared, settings=make_settings({"base": "tiny"}))
    rows = [step_tokens(free.settings, work, n, 2.0) / work.row_tokens for n in (20, 300, 100_000)]
    assert rows == pytest.approx([2, 600 / 128, 16], rel=0.01)
    asked = replace(prepared, settings=make_settings({"base": "tiny", "batch_tokens": 7}))
    assert step_tokens(asked.settings, work, 300, 2.0) == 7
