"""A tuned rung that cannot win: short trainings before the long one say what it would score.

Where a climb has a budget, a tuned rung is first trained on a few growing parts of its rows, for at most
`SHARE` of its planned seconds, and answers dev rows after each. `rung.ladder.learning_curve` makes a forecast
of that. A rung whose chance to beat the best one before it is below `CHANCE` is left out, and its time is for
the others. The forecast stays in the plan, so that a climb that was stopped decides nothing twice.

No rung is left out where it has not begun to learn: after so short a training that says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rung import numbers, storage
from rung.data.split import sample
from rung.evaluation.judging import judge
from rung.evaluation.metrics import METRICS
from rung.ladder.bar import Bar, bound_of, highest, of_measure, of_result
from rung.ladder.bound import above
from rung.ladder.context import Context
from rung.ladder.forecast import Size, evaluation_rows, step_tokens
from rung.ladder.learning_curve import chance_above, forecast, with_chance
from rung.ladder.rungs import RUNGS, Outcome, Rung
from rung.ladder.sized import Refused, quote_at
from rung.records import Example, Forecast, Measure, Point, Quote, Result, Task, from_json, to_json

if TYPE_CHECKING:
    from rung.ladder.responder import Responder

SHARE = 0.1  # of the planned seconds of a rung
CHANCE = 0.05  # of beating the best rung before it: below, a rung is left out
FEWEST_SECONDS = 60.0  # of planned training, for short ones to be worth it
PARTS = (4, 2, 1)  # the rows of the short trainings: a quarter, a half and all of what they may have
FEWEST_ROWS = 8  # of the smallest one
ANSWERING = 0.4  # of the time is for answering dev rows
FEWEST_DEV, MOST_DEV = 16, 64  # dev rows that are answered
OWN_DEV = 0.05  # of a rung's planned seconds may be spent on dev rows that a later rung is compared on
_LATE = 2.0  # times its planned seconds: where a short training is stopped
_ABOVE = 1.5  # standard errors above the floor: so far a curve has begun to rise


@dataclass(frozen=True, slots=True)
class Looks:
    """The short trainings of a rung."""

    rows: tuple[int, ...]  # train rows of each
    seconds: tuple[float, ...]  # that each training should take
    dev: int  # rows that are answered after each


def look(context: Context, rung: Rung) -> bool:
    """Forecast the score of `rung`, which is about to begin; where it is hopeless, leave it out of the plan.

    Says so on the screen and keeps the forecast in ``context.plan``. False where no time was spent: without a
    budget, with ``stop_when_hopeless`` off, for a rung that is not tuned, is short, or was forecast before;
    where there is nothing to beat; and where not even a flat curve would be hopeless.
    """
    quote, bound = context.plan.quote(rung.name), bound_of(context.task)
    if bound is None or not _is_worth_it(context, rung, quote):
        return False
    try:
        looks = affordable(context, rung, quote)
    except Refused:  # which is said where it is planned again
        return False
    if looks is None:
        return False
    bars = _bars(context, bound, OWN_DEV * (quote.seconds or 0.0))
    best = highest(bars)
    if best is None or not _may_be_hopeless(best, bars, looks, quote, bound):
        return False
    names = ", ".join(map(str, looks.rows))
    context.watcher.say(
        f"{rung.name}: short trainings on {names} rows, to see whether it can beat {best.rung}"
    )
    found = _forecast(context, rung, quote, looks, bars, bound)
    if found is not None:
        _decide(context, rung, quote, found, hopeless(found, _floor(bars)))
    return True


def hopeless(found: Forecast, floor: float) -> bool:
    """Whether a rung with this forecast is left out; never before it is above `floor`, a constant answer."""
    begun = any(point.score > floor + _ABOVE * point.error for point in found.points)
    return begun and found.chance is not None and found.chance < CHANCE


def affordable(context: Context, rung: Rung, quote: Quote) -> Looks | None:
    """The largest short trainings within `SHARE` of the seconds of `quote`: three, or two; None for fewer."""
    allowance = SHARE * (quote.seconds or 0.0)
    one = _cost(context, rung, quote, FEWEST_ROWS, 1).answer_seconds or 0.0
    for parts in (PARTS, PARTS[1:]):
        share = ANSWERING * allowance / len(parts)
        dev = min(MOST_DEV, len(context.split.dev), int(share / one) if one else MOST_DEV)
        left = allowance - len(parts) * dev * one
        most = _most_rows(context, rung, quote, parts, left)
        if dev >= FEWEST_DEV and most // parts[0] >= FEWEST_ROWS:
            rows = tuple(most // part for part in parts)
            return Looks(rows, tuple(_train_seconds(context, rung, quote, n) for n in rows), dev)
    return None


def given_a_chance(context: Context) -> list[str]:
    """The rungs that the plan left out as hopeless, where that is not wanted any more."""
    plan = context.plan
    if context.settings.stop_when_hopeless:
        return []
    return [quote.rung for quote in plan.quotes if quote.screened and quote.rung in plan.forecasts]


def on_dev(context: Context, rung: Rung, outcome: Outcome) -> Measure | None:
    """What a tuned rung scores on dev rows, where a later one will be compared with it; None elsewhere.

    The rung's own curve is of loss, and its test rows decide nothing. On an error the outcome is closed.
    """
    plan, quote = context.plan, context.plan.quote(rung.name)
    later = (one for one in plan.quotes if one.rung not in plan.begun)
    if not _is_on(context) or rung.kind != "tune" or not any(map(_is_long, later)):
        return None
    one = (quote.answer_seconds or 0.0) / max(1, quote.test_rows)
    rows = min(MOST_DEV, int(OWN_DEV * (quote.seconds or 0.0) / one) if one else MOST_DEV)
    if rows < FEWEST_DEV:
        return None
    try:
        context.watcher.begin(rung.name, "answering dev rows")
        return _scored(context, outcome.responder, rows)
    except BaseException:
        outcome.close()
        raise


def _is_on(context: Context) -> bool:
    return context.settings.stop_when_hopeless and context.settings.budget is not None


def _is_long(quote: Quote) -> bool:
    return quote.fits and (quote.train_seconds or 0.0) >= FEWEST_SECONDS


def _is_worth_it(context: Context, rung: Rung, quote: Quote) -> bool:
    known = rung.name in context.plan.forecasts
    return _is_on(context) and rung.kind == "tune" and _is_long(quote) and not known


def _may_be_hopeless(best: Bar, bars: Sequence[Bar], looks: Looks, quote: Quote, bound: float) -> bool:
    """Whether the rung would be left out if it hardly learned anything: else the time can be saved."""
    error = 0.5 * bound / looks.dev**0.5
    score = min(bound, _floor(bars) + _ABOVE * error)
    flat = [Point(rows, score, error) for rows in looks.rows]
    found = forecast(flat, quote.train_rows, bound=bound, probe=_probe(bars))
    return chance_above(found, best.score, error=best.error, bound=bound) < CHANCE


def _probe(bars: Sequence[Bar]) -> float | None:
    """What a probe scores, if there is one."""
    return next((bar.score for bar in bars if bar.kind == "probe"), None)


def _floor(bars: Sequence[Bar]) -> float:
    """What one answer for every row scores; 0 where that was not tried."""
    return max((bar.score for bar in bars if bar.kind == "floor"), default=0.0)


def _bars(context: Context, bound: float, seconds: float) -> list[Bar]:
    """What the rungs that have ended score on dev; one that took over `seconds` is not fitted again.

    A rung above the bound on forgetting is no bar: it is never recommended.
    """
    found, most = [], context.settings.max_forgetting
    for path in sorted(context.folder.file("results").glob("*.json")):
        result = from_json(Result, storage.read_json(path), path.name)
        bar = of_result(result, bound) or _left_out(context, result, seconds)
        if bar is not None and not above([result], most):
            found.append(bar)
    return found


def _left_out(context: Context, result: Result, seconds: float) -> Bar | None:
    """A cheap rung that chose nothing has no score on dev: it is fitted once more, without the dev rows."""
    if result.kind != "classical" or result.status != "ok" or result.rung not in RUNGS:
        return None
    if (result.cost.seconds or 0.0) > seconds:
        return None
    rung, split = RUNGS[result.rung], context.split
    try:
        outcome = rung.run(replace(context, split=replace(split, dev=())), None)
        return of_measure(rung.name, _scored(context, outcome.responder, len(split.dev)), rung.kind)
    except Exception as error:  # noqa: BLE001  a rung that cannot do without dev rows is no bar
        context.folder.event("no score on dev", rung=rung.name, error=numbers.one_line(str(error)))
        return None


def _scored(context: Context, responder: Responder, rows: int) -> Measure:
    """The primary metric of answers to so many dev rows."""
    dev = sample(context.split.dev, rows, context.settings.seed)
    return judge(context.task, dev, responder.answer(dev, context.watcher), context.settings.seed).primary


def _cost(context: Context, rung: Rung, quote: Quote, rows: int, answers: int) -> Quote:
    """The quote of a training on `rows`, with its answers. Raises `Refused`."""
    size = context.size
    try:
        return quote_at(context, rung, Size(size.dev, answers, rows, quote.epochs))
    finally:
        context.size = size


def _train_seconds(context: Context, rung: Rung, quote: Quote, rows: int) -> float:
    return _cost(context, rung, quote, rows, 0).train_seconds or 0.0


def _most_rows(context: Context, rung: Rung, quote: Quote, parts: Sequence[int], seconds: float) -> int:
    """The most rows of the largest training, at most half of the planned ones, with which all fit."""
    low, high = 0, quote.train_rows // 2
    while low < high:
        middle = (low + high + 1) // 2
        each = [_train_seconds(context, rung, quote, max(1, middle // part)) for part in parts]
        low, high = (middle, high) if sum(each) <= seconds else (low, middle - 1)
    return low


def _forecast(
    context: Context, rung: Rung, quote: Quote, looks: Looks, bars: Sequence[Bar], bound: float
) -> Forecast | None:
    """Train shortly, the shortest first, as long as it may be hopeless; None where a training fails."""
    found: Forecast | None = None
    points: list[Point] = []
    best, probe, seed = max(bars, key=lambda bar: bar.score), _probe(bars), context.settings.seed
    for rows, seconds in zip(looks.rows, looks.seconds, strict=True):
        point = _short(context, rung, quote, rows, seconds, looks.dev)
        if point is None:
            return None
        points.append(point)
        found = forecast(points, quote.train_rows, bound=bound, seed=seed, probe=probe)
        found = with_chance(found, best.rung, best.score, error=best.error, bound=bound)
        if point.score > best.score:
            break
    return found and _with_all(context, rung, quote, found, bound, probe)


def _with_all(
    context: Context, rung: Rung, quote: Quote, found: Forecast, bound: float, probe: float | None
) -> Forecast:
    """With what every train row would give, where the plan leaves fewer to the rung."""
    every = len(context.whole.train)
    if quote.train_rows >= every:
        return found
    most = forecast(found.points, every, bound=bound, seed=context.settings.seed, probe=probe)
    return replace(found, with_all=(most.value, most.low, most.high))


def in_words(task: Task, found: Forecast, rows: int) -> str:
    """The forecast as a sentence without its end, for a training on so many rows."""
    unit = METRICS[task.primary].unit
    value, most, bar = (
        Measure(task.primary, one, low, high, unit=unit)
        for one, low, high in (
            (found.value, found.low, found.high),
            found.with_all or (None, None, None),
            (found.bar, None, None),
        )
    )
    tried = numbers.listed([f"{point.amount:.0f}" for point in found.points])
    chance = numbers.chance(found.chance or 0.0, words=True)
    expected = numbers.named(value).replace("(", "(80% interval ")
    more = f", {numbers.quality(most)} with all of them" if found.with_all else ""
    return (
        f"{expected} expected with {rows:,} train rows{more}, from short trainings on {tried}; "
        f"{found.best} has {numbers.quality(bar)} on dev, and the chance to beat it is {chance}"
    )


def _decide(context: Context, rung: Rung, quote: Quote, found: Forecast, out: bool) -> None:
    """Keep the forecast in the plan, and with `out` take the rung out of it."""
    plan, words = context.plan, in_words(context.task, found, quote.train_rows)
    quotes = plan.quotes
    if out:
        why = f"left out as hopeless: {words}; --no-stop-when-hopeless trains it anyway"
        gone = Quote(rung.name, fits=False, why=why, screened=True)
        quotes = tuple(gone if one.rung == rung.name else one for one in quotes)
    context.planned = replace(plan, quotes=quotes, forecasts={**plan.forecasts, rung.name: found})
    context.folder.event("forecast", rung=rung.name, left_out=out, forecast=to_json(found))
    context.watcher.say(f"{rung.name}: {words}. {'It is left out' if out else 'It is trained'}")


def _short(
    context: Context, rung: Rung, quote: Quote, rows: int, seconds: float, dev_rows: int
) -> Point | None:
    """A training on `rows`, as the planned one but for its size, scored on dev; None where it fails."""
    from rung.ladder import head_start, tuning
    from rung.ladder.answer_by import usual
    from rung.ladder.general import keep_of
    from rung.ladder.label_rows import loss_for, rows_for
    from rung.ladder.options import attached_for
    from rung.ladder.texts import train_rows
    from rung.train.trainer import Trainer

    context = rung.view(context)
    prepared, method, seed = context.prepared, rung.method, context.settings.seed
    context.watcher.begin(rung.name, f"a short training on {rows} rows")
    some = sample(prepared.split.train, rows, seed)
    dev: tuple[Example, ...] = sample(prepared.split.dev, evaluation_rows(rows, quote.epochs), seed)
    settings = tuning.train_settings_of(
        prepared,
        method,
        epochs=quote.epochs,
        step_tokens=step_tokens(context.settings, context.work, rows, quote.epochs),
        pack_tokens=quote.pack_tokens or context.pack_tokens,
        evaluations=2,
        limit_seconds=_LATE * seconds,
    )
    try:
        keep = keep_of(context, method, quote.train_tokens)
        learned, shown = train_rows(prepared, method, some), rows_for(prepared, method, dev)
        loss = loss_for(prepared, method, [*some, *dev])
        with attached_for(prepared, method) as attached:
            head_start.begin(prepared, attached, some, context.watcher)
            trained = Trainer(
                prepared.base.model,
                attached,
                learned,
                shown,
                settings,
                None,
                context.watcher,
                keep,
                loss=loss,
            ).run()
            responder = tuning.responder(
                prepared.speaker, attached, prepared.max_new_tokens, Path(), {}, usual(context.task)
            )
            bar = of_measure(rung.name, _scored(context, responder, dev_rows))
    except Exception as error:  # noqa: BLE001  it fails again, and is said, where it is run
        context.folder.event("short training failed", rung=rung.name, error=numbers.one_line(str(error)))
        return None
    done = trained.steps / max(1, trained.planned_steps)
    return Point(max(1.0, rows * done), bar.score, bar.error) if bar else None
