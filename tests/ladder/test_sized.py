"""A rung's quote at one size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from contexts import SLOW, context_of
from rung.errors import UsageError
from rung.ladder.prepare import Prepared
from rung.ladder.rungs import RUNGS
from rung.ladder.rungs.tune import TuneRung
from rung.ladder.sized import Refused, quote_at, quote_of, rounded, what_changed
from rung.records import Quote, Task


def test_the_seconds_of_answers_are_those_that_test_rows_add(prepared: Prepared) -> None:
    context = context_of(prepared)
    size = context.size
    few, many = (quote_at(context, RUNGS["lora"], replace(size, test=n)) for n in (10, 30))
    assert few.answer_seconds is not None
    assert many.answer_seconds == pytest.approx(3 * few.answer_seconds)
    assert context.size == replace(size, test=30)


def test_what_cannot_be_quoted_says_why(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of(prepared, tmp_path)
    monkeypatch.setattr(TuneRung, "quote", lambda *_: 1 / 0)
    with pytest.raises(Refused) as caught:
        quote_at(context, RUNGS["lora"], context.size)
    assert caught.value.quote.why == "it could not be timed: ZeroDivisionError: division by zero"
    context.task = Task("generation", "said", ("chrf",))
    assert quote_of(context, RUNGS["words"]).why == "it is not for generation"


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")], ids=repr
)
def test_memory_that_runs_out_says_what_to_do(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> Quote:
        raise error

    monkeypatch.setattr(TuneRung, "quote", fail)
    quote = quote_of(context_of(prepared, tmp_path), RUNGS["lora"])
    assert (quote.fits, quote.failed) == (False, True)
    assert quote.why.startswith("it could not be timed: memory ran out. Close other programs")
    assert "Error" not in quote.why


def test_a_wrong_setting_is_no_row(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object) -> Quote:
        raise UsageError("no such thing")

    monkeypatch.setattr(TuneRung, "quote", wrong)
    with pytest.raises(UsageError):
        quote_of(context_of(prepared), RUNGS["lora"])


def test_the_spread_of_training_counts_by_its_share(prepared: Prepared) -> None:
    context = context_of(prepared)
    lora = RUNGS["lora"]
    quote = Quote("lora", True, seconds=100.0, train_seconds=80.0)
    rate = replace(SLOW.train["lora"], spread=0.5)
    context.speeds = replace(SLOW, train={"lora": rate}, spread=0.0)
    assert rounded(context, lora, quote).high == pytest.approx(100 * (1 + 0.25 + 0.4))
    assert rounded(context, lora, replace(quote, train_seconds=None)).high == pytest.approx(125.0)


def test_a_quote_is_kept_with_its_ranges(prepared: Prepared) -> None:
    context = context_of(prepared)
    quote = Quote("lora", True, seconds=100.0, memory_bytes=1000)
    kept = rounded(context, RUNGS["lora"], quote)
    assert (kept.low, kept.high, kept.memory_low, kept.memory_high) == (75.0, 125.0, 900, 1300)
    own = rounded(context, RUNGS["zero-shot"], Quote("zero-shot", True, seconds=100.0, low=40.0, high=100.02))
    assert (own.low, own.high, own.memory_low, own.memory_high) == (30.0, 125.0, None, None)
    assert rounded(context, RUNGS["words"], replace(quote, low=None)).high == 300.0


def test_a_change_of_the_plan_is_a_line() -> None:
    quote = Quote("lora", True, seconds=9.0, train_rows=100, epochs=2.0, train_seconds=5.0, test_rows=90)
    assert what_changed(quote, replace(quote, seconds=10.0)) == ""
    assert what_changed(quote, replace(quote, epochs=1.5)) == (
        "lora, planned again for the time that is left: 100 rows x 1.5 epochs, 90 test rows"
    )
    gone = Quote("lora", False, why="no time")
    assert what_changed(quote, gone) == "lora is left out after checking the time again: no time"
