"""Fit the ladder into a budget: how many rows, how many epochs, and which rungs there is time for.

Test and dev rows shrink first (dev, on which choices are made, more slowly) until answering takes at most
`ANSWER_SHARE` of the time; what is left is training, the same tokens for every tuned rung. A rung that cannot
get a useful number of rows is left out, the dearest first, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rung import cost
from rung.errors import ResourceError
from rung.ladder.prepare import Prepared
from rung.ladder.quote import Rates, training_memory
from rung.ladder.rungs import Rung, asked_for
from rung.ladder.workload import Workload
from rung.records import Quote

EPOCHS = 3.0  # when nobody asks for another number and the budget allows it
SAFETY = 0.85  # of the budget is planned; the rest is for noise and for what cannot be foreseen
ANSWER_SHARE = 0.4
STEPS = 64  # few rows are learned from in smaller steps, so that there are about this many
FEWEST_STEP_ROWS, MOST_STEP_ROWS = 4, 16
LOOKS = 5
DEV_LOSS_ROWS = 64
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
    step_tokens: int
    pack_tokens: int
    budget: float | None
    setup_seconds: float  # loading, timing, forgetting texts
    precision: str
    notes: tuple[str, ...] = ()

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
    def seconds(self) -> float:
        """Forecast of the whole climb."""
        return self.setup_seconds + sum(quote.seconds or 0.0 for quote in self.quotes if quote.fits)


@dataclass(frozen=True, slots=True)
class _Size:
    dev: int
    test: int
    train: int
    epochs: float


def make_plan(prepared: Prepared, work: Workload, rates: Rates, setup: float, pack_tokens: int) -> Plan:
    """Choose sizes and rungs. Raises `ResourceError` where not even the first rung fits the budget."""
    rungs = asked_for(prepared.settings)
    left_out: dict[str, str] = {}
    while True:
        size = _fit(prepared, work, rates, setup, rungs)
        if size is not None:
            break
        last = rungs.pop()
        left_out[last.name] = "does not fit in the budget"
        if not rungs:
            raise _too_small(prepared, work, rates, setup)
    quotes = [
        _quote(prepared, work, rates, rung, size, pack_tokens)
        if rung.name not in left_out
        else Quote(rung.name, fits=False, why=left_out[rung.name])
        for rung in asked_for(prepared.settings)
    ]
    return Plan(
        quotes=tuple(quotes),
        dev_rows=size.dev,
        test_rows=size.test,
        train_rows=size.train,
        epochs=round(size.epochs, 3),
        step_tokens=step_tokens(prepared, work, size.train, size.epochs),
        pack_tokens=pack_tokens,
        budget=prepared.settings.budget,
        setup_seconds=round(setup, 1),
        precision=prepared.device.precision,
        notes=_notes(prepared, size),
    )


def _fit(
    prepared: Prepared, work: Workload, rates: Rates, setup: float, rungs: Sequence[Rung]
) -> _Size | None:
    """The largest sizes with which `rungs` fit the budget."""
    settings, parts = prepared.settings, prepared.split
    most = _Size(
        dev=min(settings.max_dev, len(parts.dev)),
        test=min(settings.max_test, len(parts.test)),
        train=len(parts.train),
        epochs=settings.epochs or EPOCHS,
    )
    if settings.budget is None:
        return most
    time = settings.budget * SAFETY - setup
    tuned = [rung for rung in rungs if rung.tunes]
    share = ANSWER_SHARE if tuned else 1.0
    for shrink in _SHRINK:
        size = replace(
            most,
            dev=max(min(most.dev, FEWEST_ROWS), round(most.dev * shrink**0.5)),
            test=max(min(most.test, FEWEST_ROWS), round(most.test * shrink)),
        )
        answering = sum(answer_seconds(work, rates, rung, size.dev, size.test) for rung in rungs)
        if answering <= share * time:
            break
    else:
        return None
    if not tuned:
        return size
    return _fit_training(prepared, work, rates, size, time - answering, tuned)


def _fit_training(
    prepared: Prepared, work: Workload, rates: Rates, size: _Size, time: float, tuned: Sequence[Rung]
) -> _Size | None:
    """Give every tuned rung the same tokens: whole epochs where they fit, else a sample of the rows."""

    def seconds(rows: int, epochs: float) -> float:
        return sum(train_seconds(prepared, work, rates, rung, rows, epochs) for rung in tuned)

    asked = prepared.settings.epochs
    for tenths in range(round(size.epochs * 10), 9, -1) if asked is None else ():
        if seconds(size.train, tenths / 10) <= time:
            return replace(size, epochs=tenths / 10)
    epochs = asked or 1.0
    rows = size.train
    while rows >= min(FEWEST_ROWS, size.train):
        if seconds(rows, epochs) <= time:
            return replace(size, train=rows, epochs=epochs)
        rows = int(rows * 0.95)
    return None


def step_tokens(prepared: Prepared, work: Workload, rows: int, epochs: float) -> int:
    """Tokens of an optimizer step: as asked, or of 4 to 16 rows, the more rows the more there are to see."""
    wanted = min(MOST_STEP_ROWS, max(FEWEST_STEP_ROWS, rows * epochs / STEPS))
    return prepared.settings.batch_tokens or round(wanted * work.row_tokens)


def train_seconds(
    prepared: Prepared, work: Workload, rates: Rates, rung: Rung, rows: int, epochs: float
) -> float:
    """Forecast of one method's training, looks at dev included."""
    rate = rates.train[rung.method]
    tokens = rows * work.row_tokens * epochs
    steps = max(1.0, tokens / step_tokens(prepared, work, rows, epochs))
    looks = (LOOKS + 1) * min(DEV_LOSS_ROWS, len(prepared.split.dev)) * work.row_tokens / rates.prefill
    return rate.attach_seconds + tokens / rate.tokens_per_second + steps * rate.step_seconds + looks


def answer_seconds(work: Workload, rates: Rates, rung: Rung, dev: int, test: int) -> float:
    """Forecast of what a rung spends on answering dev and test rows."""
    if rung.tunes:
        drift = 2.5 * work.general_tokens / rates.prefill
        return drift + test * (work.tail_tokens / rates.prefill + work.target_tokens / rates.decode)
    tries = len(work.shots) if rung.shots else 1
    prefix = max(work.shots.values(), default=0) if rung.shots else work.prefix_tokens
    slower = 1 + prefix / 3000  # every new token also looks at the prefix
    written = min(work.longest_answer, 2 * work.target_tokens + 2)
    generate = work.tail_tokens / rates.prefill + slower * written / rates.decode
    score = (work.tail_tokens + work.label_tokens) / rates.prefill * slower if work.label_tokens else 0.0
    dev_row = generate + score
    test_row = max(generate, score)
    bare = 1 if rung.shots or work.label_tokens else 2
    return tries * (prefix / rates.prefill + dev * dev_row) * bare + test * test_row


def _quote(
    prepared: Prepared, work: Workload, rates: Rates, rung: Rung, size: _Size, pack_tokens: int
) -> Quote:
    seconds = answer_seconds(work, rates, rung, size.dev, size.test)
    training = memory = None
    tokens = 0
    if rung.tunes:
        training = round(train_seconds(prepared, work, rates, rung, size.train, size.epochs), 1)
        seconds += training
        memory = training_memory(prepared, rates.train[rung.method].parameters, pack_tokens)
        tokens = round(size.train * work.row_tokens * size.epochs)
    return Quote(
        rung=rung.name,
        fits=True,
        seconds=round(seconds, 1),
        train_seconds=training,
        train_rows=size.train if rung.tunes else 0,
        epochs=round(size.epochs, 3) if rung.tunes else 0.0,
        train_tokens=tokens,
        dev_rows=size.dev,
        test_rows=size.test,
        memory_bytes=memory,
        money=cost.money(seconds, prepared.settings.price_per_hour),
    )


def _notes(prepared: Prepared, size: _Size) -> tuple[str, ...]:
    parts = prepared.split
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


def _too_small(prepared: Prepared, work: Workload, rates: Rates, setup: float) -> ResourceError:
    cheapest = asked_for(prepared.settings)[0]
    least = answering = answer_seconds(work, rates, cheapest, FEWEST_ROWS, FEWEST_ROWS)
    if cheapest.tunes:
        epochs = prepared.settings.epochs or 1.0
        least += train_seconds(prepared, work, rates, cheapest, FEWEST_ROWS, epochs)
        least = max(least, answering / ANSWER_SHARE)
    needed = (setup + least) / SAFETY
    return ResourceError(
        f"the budget of {prepared.settings.budget:g} s is too small for any rung",
        why=f"The cheapest one asked for, {cheapest.title}, needs about {needed:.0f} s here",
        fix="Give a larger --budget",
    )
