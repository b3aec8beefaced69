"""The tables of the page, every cell as text: ladder, metrics, pairs, drift, quotes, choices, settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rung import numbers
from rung.numbers import ABSENT
from rung.records import Cost, Measure, Quote, Result
from rung.report.view import Rung, View


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a head; the first cell of a row names it."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: frozenset[int] = frozenset()  # columns of numbers
    marked: int | None = None  # the row to mark
    groups: tuple[str, ...] = ()  # of each row; a heading stands where it changes

    def __bool__(self) -> bool:
        return bool(self.rows)


Column = tuple[str, Callable[[Rung], str]]


def ladder(view: View) -> Table:
    """One row a rung: quality, regret, both costs and drift.

    A column that no rung has a number for is left out.  Runs from before the two costs were measured show
    the time of the whole rung.
    """
    unit = f", {view.metric_unit}" if view.metric_unit else ""
    lower = ", lower is better" if not view.higher_is_better else ""
    costs: tuple[Column, ...] = (
        ("cost to make", lambda r: r.making),
        ("1,000 answers", lambda r: r.thousand),
        (f"made, and {numbers.count(view.volume)} answers", lambda r: r.at_volume),
    )
    whole: tuple[Column, ...] = (
        ("train", lambda r: r.train),
        ("total", lambda r: r.total),
        ("money", lambda r: r.money),
    )
    return _of_rungs(
        view,
        (
            f"{view.metric}{unit} (95% interval){lower}",
            lambda r: r.quality.replace(", not finished", "\nnot finished"),
        ),
        (f"regret, {_apart(view)}", lambda r: r.regret),
        (f"chance {view.tolerance}", lambda r: r.chance),
        *(costs if view.measured else whole),
        ("forgot, nats/token", lambda r: r.forgot),
    )


def _apart(view: View) -> str:
    """The unit of a difference in the primary metric."""
    return "points" if view.metric_unit in ("", "%") else view.metric_unit


def details(view: View) -> Table:
    """One row a rung: rows, tokens, memory, sizes and rows not answered in form."""
    table = _of_rungs(
        view,
        ("test rows", lambda r: r.rows),
        ("tokens an answer", lambda r: r.tokens),
        ("peak memory", lambda r: r.memory),
        ("trained parameters", lambda r: r.parameters),
        ("adapter", lambda r: r.adapter),
        ("format misses", lambda r: r.missed),
    )
    return table if len(table.head) > 1 else Table((), ())


def _of_rungs(view: View, *columns: Column) -> Table:
    """One row a rung; without the columns in which every rung is absent or 0."""
    kept = [(name, cell) for name, cell in columns if any(cell(r) not in (ABSENT, "0") for r in view.rungs)]
    marked = next((i for i, rung in enumerate(view.rungs) if rung.recommended), None)
    rows = tuple((rung.name, *(cell(rung) for _, cell in kept)) for rung in view.rungs)
    head = ("rung", *(name for name, _ in kept))
    groups = tuple(rung.group for rung in view.rungs)
    several = len(set(groups)) > 1
    return Table(head, rows, frozenset(range(1, len(head))), marked, groups if several else ())


def highlights(view: View) -> tuple[tuple[str, str, str], ...]:
    """(label, figure, detail) of the recommended rung, for the head of the page."""
    rung = view.recommended
    if rung is None or view.verdict is None or not rung.ok:
        return ()
    head, _, interval = rung.quality.partition(" (")
    figure = f"{head} {view.metric_unit}".replace(" %", "%")
    found = [
        (f"{view.metric}, {rung.name}", figure, f"95% interval {interval.rstrip(')')}" if interval else "")
    ]
    for pair in view.verdict.comparisons:
        if (pair.first, pair.second) == (rung.result.rung, view.before):
            gain, _, spread = numbers.quality(pair.difference, difference=True).partition(" (")
            unit = numbers.unit(pair.difference, difference=True)
            found.append((f"over {numbers.one_line(pair.second)}", f"{gain} {unit}", spread.rstrip(")")))
    if rung.regret != ABSENT:
        within = f"{rung.chance} chance of being {view.tolerance} of the best"
        found.append(("expected regret", f"{rung.regret} {_apart(view)}", within))
    found += _cost_figures(rung)
    if rung.forgot != ABSENT:
        found.append(("forgot", rung.forgot, "nats/token, lower is better"))
    return tuple(found)


def _cost_figures(rung: Rung) -> list[tuple[str, str, str]]:
    if rung.thousand == ABSENT:
        return [("time", rung.total, f"training {rung.train}" if rung.train != ABSENT else "")]
    found = []
    for label, cell in (("to make", rung.making), ("1,000 answers", rung.thousand)):
        time, _, money = cell.partition("\n")
        found.append((label, time, f"{money} at your price" if money else ""))
    return found


def metrics(view: View) -> Table:
    """Every metric of every rung; empty where the primary one is all there is."""
    measured = {r.name: r.result.metrics for r in view.rungs if r.ok}
    table = _measures(measured, directions=True)
    return table if len(table.head) > 2 else Table((), ())


def others(view: View) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """For every metric but the primary one its name, unit and direction, and (rung, value) of each rung."""
    found: dict[str, list[tuple[str, str]]] = {}
    for rung in view.rungs:
        for measure in rung.result.metrics[1:] if rung.ok else ():
            value = numbers.quality(measure).partition(" (")[0]
            found.setdefault(_headed(measure, directions=True), []).append((rung.name, value))
    return tuple((name, tuple(values)) for name, values in found.items())


def metric_notes(view: View) -> tuple[str, ...]:
    """Notes on metrics, such as the signature that makes a BLEU score repeatable, each once."""
    found = [
        f"{numbers.metric_name(m.name)}: {numbers.one_line(m.note)}"
        for rung in view.rungs
        for m in rung.result.metrics
        if m.note
    ]
    return tuple(dict.fromkeys(found))


def forgetting(view: View) -> Table:
    """What tuning did to general behaviour, for every tuned rung that measured it."""
    return _measures({r.name: r.result.forgetting for r in view.rungs if r.result.forgetting})


def _measures(measured: Mapping[str, tuple[Measure, ...]], directions: bool = False) -> Table:
    columns = dict.fromkeys(_headed(m, directions) for measures in measured.values() for m in measures)
    rows = []
    for rung, measures in measured.items():
        mine = {_headed(m, directions): numbers.quality(m) for m in measures}
        rows.append((rung, *(mine.get(column, ABSENT) for column in columns)))
    head = ("rung", *columns)
    return Table(head, tuple(rows), frozenset(range(1, len(head))))


def _headed(measure: Measure, directions: bool) -> str:
    """``macro F1, %``, and ``empty answers, % (lower is better)`` where directions are said."""
    lower = " (lower is better)" if directions and not measure.higher_is_better else ""
    return f"{numbers.metric_name(measure.name)}, {numbers.unit(measure)}{lower}"


def comparisons(view: View) -> Table:
    """Pairs of rungs on the same test rows."""
    head = ("pair", "difference, points", "test", "p", "told apart", "test rows to tell apart")
    rows = []
    for pair in view.verdict.comparisons if view.verdict else ():
        unit = numbers.unit(pair.difference, difference=True)
        difference = numbers.quality(pair.difference, difference=True)
        rows.append(
            (
                f"{numbers.one_line(pair.first)} minus {numbers.one_line(pair.second)}",
                difference if unit == "points" else f"{difference} {unit}",
                numbers.one_line(pair.test) or ABSENT,
                numbers.p_value(pair.p_value),
                "yes" if pair.distinguishable else "no",
                f"about {numbers.count(pair.rows_needed)}" if pair.rows_needed else ABSENT,
            )
        )
    return Table(head, tuple(rows), frozenset({1, 3, 5}))


def quotes(view: View) -> Table:
    """The quote of every rung, with its range where it has one, and what it took."""
    currency = next((r.result.cost.currency for r in view.rungs if r.result.cost.currency), "")
    facts: tuple[tuple[str, Callable[[Quote], str], Callable[[Cost], str]], ...] = (
        ("time", _quoted_time, lambda c: numbers.seconds(c.seconds)),
        ("memory", _quoted_memory, lambda c: numbers.size(c.peak_memory_bytes)),
        (
            "train tokens",
            lambda q: numbers.count(q.train_tokens or None),
            lambda c: numbers.count(c.train_tokens),
        ),
        ("money", lambda q: numbers.money(q.money, currency), lambda c: numbers.money(c.money, c.currency)),
    )
    quoted = [(rung, rung.result.quote) for rung in view.rungs if rung.result.quote is not None]
    kept = [fact for fact in facts if any(fact[1](quote) != ABSENT for _, quote in quoted if quote)]
    head = ["rung"]
    for name, _, _ in kept:
        head += [f"{name}, quoted", "actual"]
    rows = []
    for rung, quote in quoted:
        assert quote is not None
        row = [rung.name]
        for _, forecast, actual in kept:
            row += [forecast(quote), actual(rung.result.cost)]
        rows.append((*row, numbers.one_line(quote.why) or ABSENT))
    head.append("what was reduced, or why it did not fit")
    return _without_empty(Table(tuple(head), tuple(rows), frozenset(range(1, len(head) - 1))))


def _quoted_time(quote: Quote) -> str:
    return _ranged(numbers.seconds(quote.seconds), numbers.seconds(quote.low), numbers.seconds(quote.high))


def _quoted_memory(quote: Quote) -> str:
    low, high = numbers.size(quote.memory_low), numbers.size(quote.memory_high)
    return _ranged(numbers.size(quote.memory_bytes), low, high)


def _ranged(value: str, low: str, high: str) -> str:
    """``42 s (33 s to 51 s)``."""
    return value if ABSENT in (value, low, high) else f"{value} ({low} to {high})"


def forecasts(view: View) -> Table:
    """What short trainings said a tuned rung would score on dev, and what it scored; rungs that were left out
    have no score."""
    unit = f", {view.metric_unit}" if view.metric_unit else ""
    rows = []
    for rung in view.rungs:
        found, primary, dev = rung.result.forecast, rung.result.primary, rung.result.dev
        if found is None:
            continue
        scale = numbers.factor(dev or primary or Measure(view.info.task.primary, None))
        every = found.with_all or (None, None, None)
        value, low, high, bar, most, least, highest = (
            ABSENT if one is None else numbers.tenth(one * scale)
            for one in (found.value, found.low, found.high, found.bar, *every)
        )
        rows.append(
            (
                rung.name,
                f"{value} ({low} to {high})",
                f"{most} ({least} to {highest})" if found.with_all else ABSENT,
                numbers.quality(dev),
                rung.quality,
                ABSENT if found.chance is None else numbers.chance(found.chance),
                f"{numbers.one_line(found.best)}, {bar}" if found.best else ABSENT,
            )
        )
    head = (
        "rung",
        f"forecast on dev{unit} (80% interval)",
        "with all train rows",
        "on dev (95% interval)",
        "on test (95% interval)",
        "chance to beat the best before it",
        "which was, on dev",
    )
    return Table(head, tuple(rows), frozenset({1, 2, 3, 4, 5}))


def keeping(view: View) -> Table:
    """How each tuned rung was kept near its base: in training, and by the strength of its change.

    A column that no rung has a value for is left out; so runs from before these were kept have no table.
    """
    columns: dict[str, tuple[str, Callable[[Any], str]]] = {
        "strength": ("strength of the change", lambda x: f"{x:.2f}"),
        "kl_penalty": ("KL penalty", numbers.plain),
        "replay": ("replay", numbers.plain),
        "general_texts": ("general texts", numbers.plain),
        "general_share": ("their tokens, over those of the rows", numbers.plain),
    }
    tuned = [rung for rung in view.rungs if any(name in rung.result.applied for name in columns)]
    kept = [name for name in columns if any(name in rung.result.applied for rung in tuned)]
    rows = []
    for rung in tuned:
        applied = rung.result.applied
        cells = [columns[name][1](applied[name]) if name in applied else ABSENT for name in kept]
        rows.append((rung.name, *cells))
    head = ("rung", *(columns[name][0] for name in kept))
    return Table(head, tuple(rows), frozenset(range(1, len(head))))


def strengths(view: View) -> Table:
    """Every strength of a change that was tried, and which one was taken."""
    rows = tuple(
        (
            rung.name,
            f"{one.strength:.2f}",
            numbers.significant(one.loss),
            numbers.significant(max(0.0, one.kl)),
            "yes" if one.taken else "no",
        )
        for rung in view.rungs
        for one in rung.result.tradeoffs
    )
    head = ("rung", "strength", "loss on dev, nats a row", "forgot, nats/token", "taken")
    return Table(head, rows, frozenset({1, 2, 3}))


_OF_THEIR_OWN = ("parts", "left_out", "warnings")  # shown apart from the other facts about the data


def data_facts(view: View) -> tuple[tuple[str, str], ...]:
    """What was read and how it was used, except for what has a section of its own."""
    return numbers.entries({k: v for k, v in view.info.data.items() if k not in _OF_THEIR_OWN})


def left_out(view: View) -> Table:
    """Rows that were left out, each reason once."""
    rows = tuple(
        (
            numbers.count(len(group["rows"])),
            numbers.one_line(group["why"]),
            numbers.one_line(group["file"]),
            numbers.plain(group["rows"]),
        )
        for group in view.info.data.get("left_out", ())
    )
    return Table(("rows", "left out because", "file", "which"), rows, frozenset({0}))


def choices(view: View) -> Table:
    """What was chosen on dev rows, and what each candidate scored there."""
    rows = []
    for rung in view.rungs:
        for choice in rung.result.choices:
            tried = "; ".join(
                f"{numbers.one_line(name)}: {numbers.significant(score)}"
                for name, score in choice.tried.items()
            )
            rows.append(
                (rung.name, numbers.one_line(choice.name), numbers.one_line(choice.chosen), tried or ABSENT)
            )
    return Table(("rung", "choice", "chosen", "scores on dev"), tuple(rows))


def mechanisms(view: View) -> Table:
    """How each tuned rung was computed faster, or why a way was off."""
    rows = [
        (rung.name, numbers.one_line(one.name), "on" if one.on else "off", numbers.one_line(one.why))
        for rung in view.rungs
        for one in rung.result.mechanisms
    ]
    return Table(("rung", "mechanism", "was", "because"), tuple(rows))


def settings(asked: Mapping[str, Any], applied: Mapping[str, Any]) -> Table:
    """Every setting as asked and as applied; what was not asked for is absent."""
    names: Iterable[str] = sorted({*asked, *applied})
    rows = tuple(
        (numbers.one_line(name), numbers.plain(asked.get(name)), numbers.plain(applied.get(name)))
        for name in names
    )
    return Table(("setting", "asked", "applied"), rows)


def rung_settings(result: Result) -> Table:
    """The settings of one rung."""
    return settings(result.asked, result.applied)


def _without_empty(table: Table) -> Table:
    """The table without a last column that is empty."""
    if any(row[-1] != ABSENT for row in table.rows):
        return table
    return Table(table.head[:-1], tuple(row[:-1] for row in table.rows), table.right, table.marked)
