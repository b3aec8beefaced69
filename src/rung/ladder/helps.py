"""What would help most, from what was measured: longer training, more rows, cleaner labels, a larger base.

Each finding is a sentence with its numbers; without evidence there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from rung import numbers
from rung.ladder.case import Case, title, worth
from rung.methods.table import METHODS
from rung.records import Answer, CurvePoint, Example, Result

MOST = 3  # sentences
FALLING = 0.02  # share by which dev loss must still fall at the last measurement
GAP = 1.5  # dev loss over train loss from which a tuned rung lacks rows
FEW = 50  # train rows a label below which more are worth having
FAR = 5.0  # points below the goal from which the base is too small
VOICES = 3  # rungs that must agree against a label
LISTED = 5  # rows named


def helps(
    case: Case, answers: Mapping[str, Sequence[Answer]], examples: Sequence[Example]
) -> tuple[str, ...]:
    """Up to `MOST` sentences, the most useful first.

    `answers` are those of each rung to the test `examples`.  Training that stopped too early comes first,
    then test rows, because nothing else can be judged without enough of them.
    """
    tuned = [one for one in case.results.values() if one.tunes and one.rung in case.ranked]
    best = max(tuned, key=worth, default=None)
    found = chain(
        _longer(case, best),
        _test_rows(case),
        _labels(case, answers, examples),
        _train_rows(case, best),
        _larger_base(case, best),
    )
    return tuple(found)[:MOST]


def _longer(case: Case, best: Result | None) -> Iterator[str]:
    for one in case.results.values():
        if one.status == "unfinished" and one.needs_seconds:
            share = f" at {100 * one.done:.0f}%" if one.done is not None else ""
            yield (
                f"{numbers.capital(title(one))} was cut short{share}: "
                f"a budget of {numbers.seconds(one.needs_seconds)} would finish it."
            )
    curve = _dev_curve(best)
    if best is None or len(curve) < 2:
        return
    before, last = curve[-2], curve[-1]
    if _loss(last) <= (1 - FALLING) * min(_loss(point) for point in curve[:-1]):
        yield (
            f"Train {title(best)} longer: its dev loss was still falling at the end, from "
            f"{_loss(before):.3f} to {_loss(last):.3f} {_unit(best)} between steps {before.step:,} and "
            f"{last.step:,}."
        )


def _test_rows(case: Case) -> Iterator[str]:
    if case.certainty not in ("open", "likely"):
        return
    mine = case.recommended or case.best
    floors = [rung for rung in case.ranked if case.results[rung].kind == "floor"]
    rest = [one for one in case.regrets if one.rung != mine and one.rung not in floors]
    closest = min(rest, key=lambda one: one.expected, default=None)
    if mine is None or closest is None:
        return
    pair = case.between(mine, closest.rung)
    if pair is None or not pair.rows_needed:
        return
    one, two = case.results[mine], case.results[closest.rung]
    yield (
        f"More test rows: about {numbers.roughly(pair.rows_needed)} would settle {title(one)} against "
        f"{title(two)}, {pair.difference.n:,} were used."
    )


def _labels(
    case: Case, answers: Mapping[str, Sequence[Answer]], examples: Sequence[Example]
) -> Iterator[str]:
    """Rows where every rung gives one and the same wrong label; the floor and rungs with few answers are
    not asked."""
    voices = [rung for rung in case.ranked if case.results[rung].kind != "floor" and rung not in case.fewer]
    if case.task.kind != "classification" or len(voices) < VOICES:
        return
    given = [{one.example_id: one for one in answers[rung]} for rung in voices]
    against: dict[tuple[str, int], int] = {}  # a row may be in several splits
    for example in examples:
        said = [one[example.id] for one in given if example.id in one]
        wrong = all(one.status == "ok" and one.values.get("accuracy") == 0 for one in said)
        if len(said) == len(voices) and wrong and len({one.answer for one in said}) == 1:
            against[example.source, example.row] = example.row
    if against:
        listed = sorted(against.values())[:LISTED]
        rows = ", ".join(map(str, listed)) + (", ..." if len(against) > LISTED else "")
        every = len({(example.source, example.row) for example in examples})
        plural = "s" if len(against) > 1 else ""
        yield (
            f"Check the labels: on {len(against):,} of {every:,} test rows all {len(voices)} rungs "
            f"agree on another label than the file has (row{plural} {rows})."
        )


def _train_rows(case: Case, best: Result | None) -> Iterator[str]:
    learned = [one.quote.train_rows for one in case.results.values() if one.rung in case.ranked and one.quote]
    rows, labels = max(learned, default=0), len(case.task.labels)
    if labels and 0 < rows < FEW * labels:
        yield f"More training rows: there are {rows:,} for {labels:,} labels, about {rows / labels:.0f} each."
        return
    curve = _dev_curve(best)
    if best is None or best.rung != case.best or not curve:
        return
    lowest = min(curve, key=_loss)
    if lowest.train_loss is not None and _loss(lowest) > GAP * lowest.train_loss:
        yield (
            f"More training rows: {title(best)} overfits, its lowest dev loss is {_loss(lowest):.3f} "
            f"{_unit(best)} where its train loss is {lowest.train_loss:.3f}."
        )


def _unit(result: Result) -> str:
    """Of its loss."""
    if METHODS.prefers(result.method):
        return "nats/pair"
    return "nats/row" if METHODS.classifies(result.method) else "nats/token"


def _larger_base(case: Case, best: Result | None) -> Iterator[str]:
    """The best tuned rung is far from the goal, and so is everything else."""
    if case.goal is None or best is None or best.primary is None or best.rung != case.best:
        return
    measure = best.primary
    short = (case.goal - (measure.value or 0.0) * numbers.factor(measure)) * (
        1 if measure.higher_is_better else -1
    )
    if short >= FAR:
        yield (
            f"A larger base: {title(best)} is the best rung and {short:.1f} points from the goal of "
            f"{case.goal:g}."
        )


def _dev_curve(result: Result | None) -> list[CurvePoint]:
    return [point for point in result.curve if point.dev_loss is not None] if result else []


def _loss(point: CurvePoint) -> float:
    assert point.dev_loss is not None
    return point.dev_loss
