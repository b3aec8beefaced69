"""A rung's quote at one size, with a range and its seconds of answering; a fault becomes the rung's row."""

from __future__ import annotations

import traceback
from dataclasses import replace

from rung.border import is_memory
from rung.errors import ResourceError, RungError, UsageError
from rung.ladder import ranges
from rung.ladder.context import Context
from rung.ladder.forecast import Size
from rung.ladder.rungs import Rung
from rung.records import Quote

_NO_MEMORY = (
    "memory ran out. Close other programs and run the same command again, which tries this rung once more; "
    "shorter rows (--max-length, --long-rows drop) or a smaller --base need less."
)


class Refused(Exception):
    """A rung that cannot be quoted; `quote` says why."""

    def __init__(self, rung: Rung, quote: Quote) -> None:
        self.rung, self.quote = rung, quote


def quote_of(context: Context, rung: Rung) -> Quote:
    """The quote of `rung` at ``context.size``; it does not fit where it fails or is not for the task.

    Raises `UsageError` for a setting that the user can correct before anything has run.
    """
    if not rung.applies(context.task):
        return Quote(rung.name, fits=False, why=f"it is not for {context.task.kind}")
    if rung.needs_answers and context.split.text_alone:
        why = "it learns from questions with their answers, and there are none to learn from"
        return Quote(rung.name, fits=False, why=why)
    try:
        return rung.quote(context)
    except (ResourceError, UsageError):
        raise
    except Exception as error:  # noqa: BLE001  a rung that fails is a row with its reason
        context.folder.event("rung failed", rung=rung.name, trace=traceback.format_exc())
        return Quote(rung.name, fits=False, why=f"it could not be timed: {reason_of(error)}", failed=True)


def quote_at(context: Context, rung: Rung, size: Size) -> Quote:
    """The quote at `size`, with the seconds of its answers. Raises `Refused` where there is none."""
    context.size = size
    quote = quote_of(context, rung)
    if not quote.fits:
        raise Refused(rung, quote)
    context.size = replace(size, test=0)
    without = quote_of(context, rung)
    context.size = size
    if not without.fits or quote.seconds is None or without.seconds is None:
        return quote
    return replace(quote, answer_seconds=max(0.0, quote.seconds - without.seconds))


def rounded(context: Context, rung: Rung, quote: Quote) -> Quote:
    """The quote as it is kept: with its ranges, and in tenths of a second."""
    seconds = quote.seconds or 0.0
    if rung.needs_base:
        low, high = ranges.of_seconds(seconds, _spread(context, rung, quote), quote.low, quote.high)
    else:
        low, high = ranges.of_untimed(seconds)
    least, most = ranges.of_bytes(quote.memory_bytes)
    return replace(
        quote,
        seconds=_tenths(quote.seconds),
        train_seconds=_tenths(quote.train_seconds),
        race_seconds=round(quote.race_seconds, 3),
        answer_seconds=_tenths(quote.answer_seconds),
        low=_tenths(low),
        high=_tenths(high),
        memory_low=least,
        memory_high=most,
        epochs=round(quote.epochs, 3),
    )


def _spread(context: Context, rung: Rung, quote: Quote) -> float:
    """Of the timings behind a quote: those of training count by its share of the seconds."""
    answering = context.speeds.spread
    if not quote.seconds or not quote.train_seconds or rung.method not in context.speeds.train:
        return answering
    share = quote.train_seconds / quote.seconds
    return ranges.spread_of(context.speeds.train[rung.method].spread, answering, share)


def what_changed(before: Quote, after: Quote) -> str:
    """A line for the screen where a rung is planned again and gets something else, or ""."""
    same = ("fits", "train_rows", "epochs", "test_rows")
    if all(getattr(before, name) == getattr(after, name) for name in same):
        return ""
    if not after.fits:
        return f"{after.rung} is left out after checking the time again: {after.why}"
    training = f"{after.train_rows:,} rows x {after.epochs:g} epochs, " if after.train_seconds else ""
    return f"{after.rung}, planned again for the time that is left: {training}{after.test_rows:,} test rows"


def reason_of(error: Exception) -> str:
    """Why something failed, for the record."""
    if is_memory(error):
        return _NO_MEMORY
    return str(error) if isinstance(error, RungError) else f"{type(error).__name__}: {error}"


def _tenths(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
