"""What a climb is going to do: the rungs there is time for, their rows, epochs and limits.

The plan is made once the rungs that need no base have run, and again before each rung that has not begun, for
those that are left and the time that is left. plan.json always holds the newest one: a rung runs by it, in
whatever process.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil, sqrt
from typing import Any

from rung import cost, numbers
from rung.config import Settings
from rung.data.split import Split
from rung.errors import ResourceError
from rung.evaluation.stats import rows_needed
from rung.ladder.context import Context, Room
from rung.ladder.fitting import Fitted, Fitting
from rung.ladder.forecast import Rates, Size, step_tokens
from rung.ladder.rungs import Rung
from rung.ladder.screening import screen
from rung.ladder.sized import Refused, quote_at, rounded
from rung.records import Forecast, Quote

EPOCHS = 5.0  # unless another number is set, and where the budget allows it
MOST_EPOCHS = 8.0  # for a rung that begins after one that was still improving at the end of its training
SAFETY = 0.9  # of the time that is left is planned; the rest is for noise and for what cannot be foreseen
MOST_TRAINING = 1.5  # times the quote of training: where it is stopped at the latest
MOST_TEST = 1000  # without a budget, unless another number is set
_LOOKS, _CLOSE = 12, 1.05  # at budgets, until one is known that is at most 5 % above one that is too small
_SEEN, _DIFFER = 0.05, 0.125  # a difference worth seeing; the share of rows on which two good rungs differ


class TooSmall(ResourceError):
    """The budget of a climb does not do for any rung."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be run; written to plan.json, so that a climb that continues does what it had planned."""

    quotes: tuple[Quote, ...]
    dev_rows: int
    test_rows: int  # that rungs are measured on; one with expensive answers has fewer in its quote
    train_rows: int
    epochs: float
    step_tokens: int  # for these rows and epochs; 0 where no rung needs a base
    pack_tokens: int
    budget: float | None
    setup_seconds: float  # spent when the plan was made: loading, timing, rungs before
    precision: str  # empty where no rung needs a base
    notes: tuple[str, ...] = ()
    rates: Rates | None = None  # of this machine, as they were timed and as the rungs showed them
    limits: Mapping[str, float] = field(default_factory=dict)  # rung -> seconds it may take at most
    begun: tuple[str, ...] = ()  # rungs that have begun: their quotes stay as they are
    threads: int = 0  # that computed when it was made; 0 where no rung needs a base
    forecasts: Mapping[str, Forecast] = field(default_factory=dict)  # rung -> its score, from short trainings

    def kept(self, threads: int | None) -> dict[str, Any]:
        """Settings that a run keeps when it continues: the number format; in fp32 the threads, unless given.

        Another number of threads rounds otherwise.
        """
        kept: dict[str, Any] = {"precision": self.precision} if self.precision else {}
        if self.precision == "fp32" and self.threads and threads is None:
            kept["threads"] = self.threads
        return kept

    def find(self, rung: str) -> Quote | None:
        return next((quote for quote in self.quotes if quote.rung == rung), None)

    def quote(self, rung: str) -> Quote:
        found = self.find(rung)
        assert found is not None, rung
        return found

    @property
    def has_tuned(self) -> bool:
        """Whether a rung that trains has begun."""
        return any(quote.train_seconds is not None and quote.rung in self.begun for quote in self.quotes)

    def train_limit(self, rung: str) -> float | None:
        """Seconds after which the training of `rung` stops; the rest of its time is for its answers."""
        quote, limit = self.find(rung), self.limits.get(rung)
        if quote is None or limit is None or quote.train_seconds is None or quote.seconds is None:
            return None
        return limit - (quote.seconds - quote.train_seconds)

    def of(self, rung: str, context: Context) -> Plan:
        """The plan with the train rows, epochs and steps of one rung."""
        quote = self.find(rung)
        if quote is None:
            return self
        rows, epochs = quote.train_rows, quote.epochs
        tokens = step_tokens(context.settings, context.work, rows, epochs)
        pack = quote.pack_tokens or self.pack_tokens
        return replace(self, train_rows=rows, epochs=epochs, step_tokens=tokens, pack_tokens=pack)

    @property
    def size(self) -> Size:
        """The rows and epochs that were chosen."""
        return Size(self.dev_rows, self.test_rows, self.train_rows, self.epochs)

    @property
    def seconds(self) -> float:
        """Forecast of the whole climb, from its beginning."""
        waiting = [quote for quote in self.quotes if quote.fits and quote.rung not in self.begun]
        return self.setup_seconds + sum(quote.seconds or 0.0 for quote in waiting)


def most_of(settings: Settings, parts: Split, longest: float = EPOCHS, before: Plan | None = None) -> Size:
    """As much of the data as may be used. With a budget, enough test rows to see a difference of 5 points.

    The test rows of the plan `before` stay: rungs that ran by it are compared with those to come.
    """
    most_test = settings.max_test or (MOST_TEST if settings.budget is None else enough_test_rows())
    if before is not None:
        most_test = before.test_rows
    return Size(
        dev=min(settings.max_dev, len(parts.dev)),
        test=min(most_test, len(parts.test)),
        train=len(parts.train),
        epochs=settings.epochs or longest,
    )


def enough_test_rows() -> int:
    """Rows on which a paired test sees a difference of 5 points with a chance of 80 %."""
    rows = rows_needed(_SEEN, sqrt(_DIFFER))
    assert rows is not None
    return rows


def make_plan(
    context: Context, rungs: Sequence[Rung], clock: cost.Stopwatch, before: Plan | None = None
) -> Plan:
    """Choose sizes for `rungs`, none of which has begun, and which of them there is time for.

    ``context.size`` is the most that may be used. `clock` shows the seconds the climb has taken so far.
    `before` is the plan so far, whose other rungs stay as they are. The first quote of a rung times what it
    needs on this machine. A rung whose quote fails does not fit and says why. Raises `TooSmall` where
    not even the cheapest of the rungs fits into the budget and `before` has no other.
    """
    most, budget = context.size, context.settings.budget
    context.room = Room.now()
    gone, able = _quoted(context, rungs, most)
    left = None if budget is None else max(0.0, budget - clock.seconds)
    screening = screen(context, able, left)
    for name, why in screening.gone.items():
        gone[name] = Quote(name, fits=False, why=why, screened=True)
    able = [rung for rung in able if rung.name not in gone]
    context.size = most
    context.room = Room.now()  # what was timed may have left something
    spent = clock.seconds  # timing and screening included
    time = None if budget is None else max(0.0, budget - spent) * SAFETY
    fitting = Fitting(context, most, time, after=before is not None and before.has_tuned)
    promised = {quote.rung for quote in before.quotes if quote.fits} if before else None
    fitted, chosen, refused = _together(fitting, able, screening.worst_first, promised)
    gone |= refused
    able = [rung for rung in able if rung.name not in refused]
    if fitted is None and (alone := _alone(fitting, able)):
        chosen, fitted = alone
    if able and not chosen and before is None and not refused:
        raise _too_small(fitting, able, spent)
    for rung in able:
        if rung not in chosen:
            gone[rung.name] = Quote(rung.name, fits=False, why=_no_time(fitting, able, rung, spent))
    fitted = fitted or Fitted(before.size if before else most, {})
    new = {
        rung.name: rounded(context, rung, quote_at(context, rung, fitted.at(rung.name))) for rung in chosen
    } | gone
    return _written(context, rungs, fitted, new, most, spent, before)


def _together(
    fitting: Fitting,
    rungs: Sequence[Rung],
    worst_first: Sequence[str] = (),
    promised: Collection[str] | None = None,
) -> tuple[Fitted | None, list[Rung], dict[str, Quote]]:
    """Sizes for as many of `rungs` as fit together, without the most expensive ones; None where none fits.

    Of those in `worst_first` all but the last go before any other, then those that the plan before did not
    have (`promised` has the others; None for a first plan). The cheapest rung that trains and, in a first
    plan, the cheapest that does not stay the longest if there is time for both: a climb compares the two.

    Also which these are, and why others could not be quoted.
    """
    left, fitted, refused = list(rungs), None, {}
    while left and fitted is None:
        try:
            # less training for the tuned rungs before one rung is left out
            fitted = fitting.fit(left) or fitting.fit(left, fair=True)
            if fitted is None:
                worse = [rung for name in worst_first[:-1] for rung in left if rung.name == name]
                new = [rung for rung in left if promised is not None and rung.name not in promised]
                kept = _compared(fitting, left, first=promised is None)
                able = new or [rung for rung in left if rung not in kept] or left
                left.remove(worse[0] if worse else max(able, key=partial(fitting.least, fair=True)))
        except Refused as one:
            refused[one.rung.name] = one.quote
            left.remove(one.rung)
    return fitted, left, refused


def _compared(fitting: Fitting, rungs: Sequence[Rung], first: bool) -> list[Rung]:
    """The cheapest rung that trains and, in a `first` plan, the cheapest without a tuned model; none where
    there is no time for them."""
    sides = [[rung for rung in rungs if rung.trains]]
    sides += [[rung for rung in rungs if rung.kind != "tune"]] if first else []
    pair = [min(side, key=partial(fitting.least, fair=True)) for side in sides if side]
    return pair if fitting.fit(pair, fair=True) else []


def _alone(fitting: Fitting, rungs: Sequence[Rung]) -> tuple[list[Rung], Fitted] | None:
    """The cheapest of `rungs` that fits into the time alone, where they do not fit together."""
    for rung in sorted(rungs, key=fitting.least):
        if fitted := fitting.fit([rung]):
            return [rung], fitted
    return None


def _quoted(context: Context, rungs: Sequence[Rung], most: Size) -> tuple[dict[str, Quote], list[Rung]]:
    """The rungs that cannot be quoted, with why, and the others."""
    gone: dict[str, Quote] = {}
    able = []
    for rung in rungs:
        try:
            quote_at(context, rung, most)
            able.append(rung)
        except Refused as refused:
            gone[rung.name] = refused.quote
    return gone, able


def _written(
    context: Context,
    rungs: Sequence[Rung],
    fitted: Fitted,
    new: Mapping[str, Quote],
    most: Size,
    spent: float,
    before: Plan | None,
) -> Plan:
    """The plan as a record."""
    old = {quote.rung: quote for quote in before.quotes} if before else {}
    based = any(rung.needs_base and not new[rung.name].failed for rung in rungs)
    tokens, precision, rates = (
        (before.step_tokens, before.precision, before.rates) if before else (0, "", None)
    )
    threads = before.threads if before else 0
    size = fitted.size
    if based:
        tokens = step_tokens(context.settings, context.work, size.train, size.epochs)
        precision = context.prepared.device.precision
        threads = context.prepared.device.threads
        rates = context.speeds.rates()
    quotes = tuple((old | {rung.name: new[rung.name] for rung in rungs}).values())
    return Plan(
        quotes=quotes,
        dev_rows=size.dev,
        test_rows=most.test,
        train_rows=size.train,
        epochs=round(size.epochs, 3),
        step_tokens=tokens,
        pack_tokens=context.pack_tokens,
        budget=context.settings.budget,
        setup_seconds=round(spent, 1),
        precision=precision,
        notes=_notes(context, quotes, most),
        rates=rates,
        limits=(dict(before.limits) if before else {}) | _limits(context, new, spent),
        begun=before.begun if before else (),
        threads=threads,
        forecasts=before.forecasts if before else {},
    )


def _limits(context: Context, quotes: Mapping[str, Quote], spent: float) -> dict[str, float]:
    """Seconds that each rung may take: its quote and what is to spare, for training up to half of it more."""
    budget = context.settings.budget
    if budget is None:
        return {}
    fits = [quote for quote in quotes.values() if quote.fits and quote.seconds is not None]
    spare = max(0.0, budget - spent - sum(quote.seconds or 0.0 for quote in fits))
    limits = {}
    for quote in fits:
        more = spare
        if quote.train_seconds is not None:
            more = min(spare, (MOST_TRAINING - 1) * quote.train_seconds)
        limits[quote.rung] = round((quote.seconds or 0.0) + more, 1)
    return limits


def _notes(context: Context, quotes: Sequence[Quote], most: Size) -> tuple[str, ...]:
    """Where not all rows are used."""
    parts, settings = context.whole, context.settings
    every, notes = len(parts.test), []
    if most.test < every:
        enough = settings.max_test is None and settings.budget is not None
        why = ", enough to see a difference of 5 points" if enough else ""
        notes.append(f"{most.test:,} of {every:,} test rows are in use{why}")
    used = [quote for quote in quotes if quote.fits]
    dev = min((quote.dev_rows for quote in used if quote.dev_rows), default=len(parts.dev))
    if dev < len(parts.dev):
        notes.append(f"choices are made on {dev:,} of {len(parts.dev):,} dev rows")
    short = [quote for quote in used if 0 < quote.test_rows < most.test]
    for rows in dict.fromkeys(quote.test_rows for quote in short):
        names = ", ".join(quote.rung for quote in short if quote.test_rows == rows)
        notes.append(f"{names}: the budget left {rows:,} of {every:,} test rows in use")
    for quote in used:
        if quote.train_seconds is not None and quote.train_rows < len(parts.train):
            left = f"{quote.train_rows:,} of {len(parts.train):,}"
            notes.append(f"{quote.rung}: the budget left {left} train rows in use")
        if quote.pack_tokens:
            notes.append(f"{quote.rung}: passes of {quote.pack_tokens} tokens, so that it fits into memory")
    return tuple(notes)


def _no_time(fitting: Fitting, rungs: Sequence[Rung], rung: Rung, spent: float) -> str:
    """Why `rung` is left out of the plan for `rungs`."""
    needed = _enough(fitting, rungs, rung, spent)
    if needed is None:
        return "it does not fit into the budget, nor into much larger ones"
    return f"it does not fit into the budget; about {numbers.seconds(needed)} would do"


def _enough(fitting: Fitting, rungs: Sequence[Rung], rung: Rung, spent: float) -> float | None:
    """The smallest budget whose plan for `rungs` has `rung`, within `_CLOSE` and as it is shown.

    None where none was found in `_LOOKS`: quotes may grow with the budget.
    """
    context, settings = fitting.context, fitting.context.settings
    enough = None
    low = max(settings.budget or 0.0, spent + fitting.least(rung) / SAFETY / _CLOSE)
    high = max(_CLOSE * low, spent + fitting.least(rung, fair=True) / SAFETY)
    try:
        for _ in range(_LOOKS):
            tried = _rounded_up(high if enough is None else sqrt(low * high))
            if enough is not None and tried >= enough:
                break
            context.settings = settings.model_copy(update={"budget": tried})
            time = max(0.0, tried - spent) * SAFETY
            if rung in _together(Fitting(context, fitting.most, time, fitting.after), rungs)[1]:
                enough = high = tried
            else:
                low, high = tried, 2 * tried if enough is None else high
            if enough is not None and high <= _CLOSE * low:
                break
    finally:
        context.settings = settings
    return enough


def _rounded_up(seconds: float) -> float:
    """To what `numbers.seconds` shows."""
    step = 1 if seconds < 3600 else 60 if seconds < 86400 else 3600
    return float(ceil(seconds / step) * step)


def _too_small(fitting: Fitting, able: Sequence[Rung], spent: float) -> TooSmall:
    cheapest = min(able, key=fitting.least)
    needed = spent + fitting.least(cheapest) / SAFETY
    return TooSmall(
        f"the budget of {fitting.context.settings.budget:g} s is too small for any rung",
        why=f"The cheapest one asked for, {cheapest.title}, needs about {ceil(needed)} s here",
        fix="Give a larger --budget",
    )
