"""Sizes that fit into a time, on rates that are made up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contexts import SLOW, context_of
from rung.config import make_settings
from rung.ladder import fitting
from rung.ladder.context import Context
from rung.ladder.fitting import FEWEST_DEV, FEWEST_ROWS, FEWEST_TEST, Fitting
from rung.ladder.forecast import Size
from rung.ladder.pace import FAIR
from rung.ladder.plan import most_of
from rung.ladder.prepare import Prepared
from rung.ladder.rungs import RUNGS, Rung
from rung.records import Quote


@pytest.fixture
def context(prepared: Prepared) -> Context:
    parts = replace(prepared.split, dev=prepared.split.dev * 4, test=prepared.split.test * 10)
    settings = make_settings({"base": "tiny", "shots": "2", "budget": 60})
    made = context_of(replace(prepared, split=parts, settings=settings))
    made.size = most_of(settings, parts)
    return made


def test_without_a_limit_all_is_used(context: Context) -> None:
    found = Fitting(context, context.size, None).fit([RUNGS["lora"]])
    assert found is not None
    assert found.at("lora") == most_of(context.settings, context.whole)


def test_dev_shrinks_before_test(context: Context) -> None:
    most = context.size
    fitting = Fitting(context, most, 140.0)
    zero = RUNGS["zero-shot"]
    all_of_it = fitting.least(zero)
    assert all_of_it < 140.0
    context.speeds = replace(SLOW, score=0.25)
    found = fitting.fit([zero])
    assert found is not None
    assert found.test["zero-shot"] == most.test
    assert FEWEST_DEV <= found.size.dev < most.dev


def test_the_rung_with_the_most_expensive_answers_gives_way_alone(context: Context) -> None:
    context.speeds = replace(SLOW, score=1.0)
    found = Fitting(context, context.size, 550.0).fit([RUNGS["zero-shot"], RUNGS["lora"]])
    assert found is not None
    assert FEWEST_TEST <= found.test["zero-shot"] < found.test["lora"]
    assert found.test["lora"] == most_of(context.settings, context.whole).test


def test_two_tuned_rungs_share_the_time_only_where_each_has_a_fair_try(context: Context) -> None:
    most, rungs = context.size, [RUNGS["lora"], RUNGS["full"]]
    found = [Fitting(context, most, float(time)).fit(rungs) for time in range(10, 200, 5)]
    assert found[0] is None
    rows = [one.size.train for one in found if one is not None]
    assert min(rows) == most.train
    assert rows == sorted(rows)
    least = Fitting(context, most, None).least(rungs[0])
    alone = Fitting(context, most, least + 1.0).fit(rungs[:1])
    assert alone is not None
    assert FEWEST_ROWS <= alone.size.train < FAIR * most.train


def test_the_least_of_a_rung_fits_and_less_does_not(context: Context) -> None:
    most = context.size
    for name in ("zero-shot", "lora", "full"):
        least = Fitting(context, most, None).least(RUNGS[name])
        assert Fitting(context, most, least + 0.01).fit([RUNGS[name]]) is not None
        assert Fitting(context, most, 0.95 * least).fit([RUNGS[name]]) is None


def test_a_tuned_rung_without_time_for_a_fair_try_takes_none_from_others(context: Context) -> None:
    most, lora = context.size, RUNGS["lora"]
    zero = Fitting(context, most, None).least(RUNGS["zero-shot"])
    little = Fitting(context, most, None).least(lora) + 1.0
    assert Fitting(context, most, little).fit([lora]) is not None
    assert Fitting(context, most, zero + little).fit([RUNGS["zero-shot"], lora]) is None


def test_after_another_tuned_rung_one_alone_has_a_fair_try_or_none(context: Context) -> None:
    most, lora = context.size, RUNGS["lora"]
    times = [float(time) for time in range(10, 400, 5)]
    found = [Fitting(context, most, time, after=True).fit([lora]) for time in times]
    rows = [one.size.train for one in found if one is not None]
    assert found[0] is None
    assert FAIR * most.train <= min(rows) <= max(rows) == most.train


def test_a_size_is_quoted_once(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Size]] = []
    real = fitting.quote_at

    def quote_at(context: Context, rung: Rung, size: Size) -> Quote:
        asked.append((rung.name, size))
        return real(context, rung, size)

    monkeypatch.setattr(fitting, "quote_at", quote_at)
    Fitting(context, context.size, 100.0).fit([RUNGS["zero-shot"], RUNGS["lora"], RUNGS["full"]])
    assert len(asked) == len(set(asked)) > 10


def test_the_time_of_a_race_belongs_to_training(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """It grows with the training, so it takes nothing from the answers of a rung whose training shrinks."""
    real = fitting.quote_at

    def with_race(context: Context, rung: Rung, size: Size) -> Quote:
        quote = real(context, rung, size)
        more = 0.15 * (quote.train_seconds or 0.0)
        return replace(quote, seconds=(quote.seconds or 0.0) + more, race_seconds=more)

    most = context.size
    plain = Fitting(context, most, 60.0).fit([RUNGS["lora"]])
    monkeypatch.setattr(fitting, "quote_at", with_race)
    raced = Fitting(context, most, 60.0)
    found = raced.fit([RUNGS["lora"]])
    assert plain is not None
    assert found is not None
    assert found.test == plain.test
    assert (found.size.train, found.size.epochs) < (plain.size.train, plain.size.epochs)
    assert (with_race(context, RUNGS["lora"], found.at("lora")).seconds or 0) <= 60.0
