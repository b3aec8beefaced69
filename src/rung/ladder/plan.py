"""Fit the ladder into a budget: how many rows, how many epochs, and which rungs there is time for.

Test and dev rows shrink first (dev, on which choices are made, more slowly) until answering takes at most
`ANSWER_SHARE` of the time; what is left is training, the same tokens for every tuned rung. A rung that cannot
get a useful number of rows is left out, the dearest first, and says so.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rung import cost
from rung.config import Settings
from rung.data.split import Split
from rung.errors import ResourceError, RungError, UsageError
from rung.ladder.context import Context
from rung.ladder.forecast import Size, step_tokens
from rung.ladder.rungs import Rung
from rung.records import Quote

EPOCHS = 3.0  # when nobody asks for another number and the budget allows it
SAFETY = 0.85  # of the budget is planned; the rest is for noise and for what cannot be foreseen
ANSWER_SHARE = 0.4
FEWEST_ROWS = 20
LEAST, MOST = 0.5, 1.5  # of the time quoted for training: what a rung gets at least, and at most
_SHRINK = (1.0, 0.8, 0.6, 0.45, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05)


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be run; written to plan.json, so that a run that goes on does as it had said."""

    quotes: tuple[Quote, ...]
    dev_rows: int
    test_rows: int
    train_rows: int
    epochs: float
    step_tokens: int  # 0 where no rung needs a base
    pack_tokens: int
    budget: float | None
    setup_seconds: float  # loading, timing, forgetting texts
    precision: str  # empty where no rung needs a base
    notes: tuple[str, ...] = ()
    threads: int = 0  # that computed when it was made; 0 where no rung needs a base

    def kept(self, threads: int | None) -> dict[str, Any]:
        """Settings that a run keeps when it continues: the number format; in fp32 the threads, unless given.

        Another number of threads rounds otherwise.
        """
        kept: dict[str, Any] = {"precision": self.precision} if self.precision else {}
        if self.precision == "fp32" and self.threads and threads is None:
            kept["threads"] = self.threads
        return kept

    def quote(self, rung: str) -> Quote:
        return next(quote for quote in self.quotes if quote.rung == rung)

    def train_limit(self, rung: str, elapsed: float) -> float | None:
        """Seconds after which training stops: what the budget leaves once all else has had its quote."""
        quote = self.quote(rung)
        if self.budget is None or quote.train_seconds is None or quote.seconds is None:
            return None
        names = [one.rung for one in self.quotes]
        later = sum(one.seconds or 0.0 for one in self.quotes[names.index(rung) + 1 :])
        left = self.budget - elapsed - later - (quote.seconds - quote.train_seconds)
        return max(LEAST * quote.train_seconds, min(MOST * quote.train_seconds, left))

    @property
    def size(self) -> Size:
        """The rows and epochs that were chosen."""
        return Size(self.dev_rows, self.test_rows, self.train_rows, self.epochs)

    @property
    def seconds(self) -> float:
        """Forecast of the whole climb."""
        return self.setup_seconds + sum(quote.seconds or 0.0 for quote in self.quotes if quote.fits)


def make_plan(context: Context, rungs: Sequence[Rung], clock: cost.Stopwatch) -> Plan:
    """Choose sizes and rungs; the first quote of a rung times what it needs on this machine.

    A rung whose quote fails is not in the plan and says why. Raises `ResourceError` where not even the
    first of the others fits the budget.
    """
    most = context.size
    gone = {rung.name: quote for rung in rungs if not (quote := quote_of(context, rung)).fits}
    able = [rung for rung in rungs if rung.name not in gone]
    setup = clock.seconds  # timing included
    left, size = able[:], most
    while left:
        try:
            found = _fit(context, left, most, setup)
        except _Refused as refused:
            gone[refused.rung.name] = refused.quote
            left.remove(refused.rung)
            continue
        if found is not None:
            size = found
            break
        last = left.pop()
        gone[last.name] = Quote(last.name, fits=False, why="does not fit in the budget")
        if not left:
            raise _too_small(context, able[0], setup)
    tokens, precision, threads = 0, "", 0
    if any(rung.needs_base for rung in able):
        tokens = step_tokens(context.settings, context.work, size.train, size.epochs)
        precision = context.prepared.device.precision
        threads = context.prepared.device.threads
    quotes = [gone.get(rung.name) or rounded(_quote(context, rung, size)) for rung in rungs]
    return Plan(
        quotes=tuple(quotes),
        dev_rows=size.dev,
        test_rows=size.test,
        train_rows=size.train,
        epochs=round(size.epochs, 3),
        step_tokens=tokens,
        pack_tokens=context.pack_tokens,
        budget=context.settings.budget,
        setup_seconds=round(setup, 1),
        precision=precision,
        notes=_notes(context, size),
        threads=threads,
    )


def most_of(settings: Settings, parts: Split) -> Size:
    """As much of the data as may be used."""
    return Size(
        dev=min(settings.max_dev, len(parts.dev)),
        test=min(settings.max_test, len(parts.test)),
        train=len(parts.train),
        epochs=settings.epochs or EPOCHS,
    )


def quote_of(context: Context, rung: Rung) -> Quote:
    """The quote of `rung` at ``context.size``; it does not fit where it fails or is not for the task.

    Raises `UsageError` for a setting that the user can put right before anything has run.
    """
    if not rung.applies(context.task):
        return Quote(rung.name, fits=False, why=f"it is not for {context.task.kind}")
    try:
        return rung.quote(context)
    except (ResourceError, UsageError):
        raise
    except Exception as error:  # noqa: BLE001  a rung that fails is a row with its reason
        context.folder.event("rung failed", rung=rung.name, trace=traceback.format_exc())
        return Quote(rung.name, fits=False, why=f"it could not be timed: {reason_of(error)}", failed=True)


def reason_of(error: Exception) -> str:
    """Why something failed, for the record."""
    return str(error) if isinstance(error, RungError) else f"{type(error).__name__}: {error}"


def rounded(quote: Quote) -> Quote:
    """The quote as it is kept: tenths of a second."""
    seconds, training = quote.seconds, quote.train_seconds
    return replace(
        quote,
        seconds=None if seconds is None else round(seconds, 1),
        train_seconds=None if training is None else round(training, 1),
        epochs=round(quote.epochs, 3),
    )


class _Refused(Exception):
    """A rung was quoted before, and cannot be at another size."""

    def __init__(self, rung: Rung, quote: Quote) -> None:
        self.rung, self.quote = rung, quote


def _quote(context: Context, rung: Rung, size: Size) -> Quote:
    context.size = size
    quote = quote_of(context, rung)
    if not quote.fits:
        raise _Refused(rung, quote)
    return quote


def _training(context: Context, rungs: Sequence[Rung], size: Size) -> float | None:
    """Seconds of training of all `rungs` together; None where none of them trains."""
    each = [_quote(context, rung, size).train_seconds for rung in rungs]
    known = [seconds for seconds in each if seconds is not None]
    return sum(known) if known else None


def _answering(context: Context, rungs: Sequence[Rung], size: Size) -> float:
    """Seconds of all `rungs` without their training."""
    quotes = [_quote(context, rung, size) for rung in rungs]
    return sum((quote.seconds or 0.0) - (quote.train_seconds or 0.0) for quote in quotes)


def _fit(context: Context, rungs: Sequence[Rung], most: Size, setup: float) -> Size | None:
    """The largest sizes with which `rungs` fit the budget."""
    budget = context.settings.budget
    if budget is None:
        return most
    time = budget * SAFETY - setup
    trains = _training(context, rungs, most) is not None
    share = ANSWER_SHARE if trains else 1.0
    for shrink in _SHRINK:
        size = replace(
            most,
            dev=max(min(most.dev, FEWEST_ROWS), round(most.dev * shrink**0.5)),
            test=max(min(most.test, FEWEST_ROWS), round(most.test * shrink)),
        )
        answering = _answering(context, rungs, size)
        if answering <= share * time:
            break
    else:
        return None
    return _fit_training(context, rungs, size, time - answering) if trains else size


def _fit_training(context: Context, rungs: Sequence[Rung], size: Size, time: float) -> Size | None:
    """Give every tuned rung the same tokens: whole epochs where they fit, else a sample of the rows."""

    def fits(rows: int, epochs: float) -> bool:
        return (_training(context, rungs, replace(size, train=rows, epochs=epochs)) or 0.0) <= time

    asked = context.settings.epochs
    for tenths in range(round(size.epochs * 10), 9, -1) if asked is None else ():
        if fits(size.train, tenths / 10):
            return replace(size, epochs=tenths / 10)
    epochs = asked or 1.0
    rows = size.train
    while rows >= min(FEWEST_ROWS, size.train):
        if fits(rows, epochs):
            return replace(size, train=rows, epochs=epochs)
        rows = int(rows * 0.95)
    return None


def _notes(context: Context, size: Size) -> tuple[str, ...]:
    parts = context.split
    sizes: Mapping[str, tuple[int, int]] = {
        "train": (size.train, len(parts.train)),
        "dev": (size.dev, len(parts.dev)),
        "test": (size.test, len(parts.test)),
    }
    return tuple(
        f"{name}: a seeded sample of {used} of {all_} rows is used"
        for name, (used, all_) in sizes.items()
        if used < all_
    )


def _too_small(context: Context, cheapest: Rung, setup: float) -> ResourceError:
    epochs = context.settings.epochs or 1.0
    context.size = Size(FEWEST_ROWS, FEWEST_ROWS, FEWEST_ROWS, epochs)
    quote = cheapest.quote(context)
    least = quote.seconds or 0.0
    if quote.train_seconds is not None:
        least = max(least, (least - quote.train_seconds) / ANSWER_SHARE)
    needed = (setup + least) / SAFETY
    return ResourceError(
        f"the budget of {context.settings.budget:g} s is too small for any rung",
        why=f"The cheapest one asked for, {cheapest.title}, needs about {needed:.0f} s here",
        fix="Give a larger --budget",
    )
