"""The table of a run for the terminal: readable at 80 columns, unbroken at 60, plain without colour."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rung import numbers
from rung.report import seen, tables
from rung.report.costs import break_evens, sentences
from rung.report.view import Rung, View

NARROW = 76  # columns below which cells are broken in two lines
WIDE = 104  # from this many columns on, short notes are in the table
_ANY = 1000  # columns, where a table is as wide as it wants to be
SHORT = 64  # characters of such a note; where one is longer, all notes stand under the table


def print_view(view: View, console: Console, report: Path | None = None) -> None:
    """Print the table, the notes, the verdict and the path of the report to `console`."""
    wide, narrow = console.width >= WIDE, console.width < NARROW
    console.print(_title(view))
    if view.parts:
        console.print(Text(view.parts, style="dim"))
    inside = wide and all(len(note) <= SHORT for note in view.notes)
    table = _table(view, wide, narrow, inside)
    if (
        not wide
        and console.measure(table, options=console.options.update(width=_ANY)).maximum > console.width
    ):
        table = _table(view, wide, True, inside)
    console.print(table)
    if not inside:
        for note, rungs in view.notes.items():
            names = ", ".join(rung.name for rung in rungs)
            console.print(Text.assemble((names, "bold"), ": ", note))
    _print_others(view, console)
    if inside or view.notes:
        console.print()
    for line in seen.sentences(view):
        console.print(Text(line))
    _print_verdict(view, console)
    if report is not None:
        console.print(Text.assemble(("Report: ", "dim"), numbers.clean(str(report))), soft_wrap=True)


def _title(view: View) -> Text:
    info = view.info
    title = Text(numbers.one_line(info.name), style="bold")
    facts = [
        info.task.kind.replace("_", " "),
        *([numbers.one_line(info.base)] if info.base else []),  # empty where no rung needs one
        view.test_rows,
    ]
    return title.append("  " + " · ".join(facts), style="not bold dim")


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which columns there are, and how their cells are broken."""

    wide: bool  # with a column for the total cost
    notes: bool  # with a column for the notes
    narrow: bool
    regrets: bool
    forgot: bool
    two_costs: bool

    @property
    def broken(self) -> bool:
        """Whether intervals stand on a second line."""
        return self.narrow or (self.regrets and self.forgot and not self.wide)


def _table(view: View, wide: bool, narrow: bool, notes: bool) -> Table:
    regrets = bool(view.verdict and view.verdict.regrets)
    forgot = any(rung.forgot != numbers.ABSENT for rung in view.rungs)
    layout = _Layout(wide, notes, narrow, regrets, forgot, view.measured)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), header_style="bold")
    unit = f", {view.metric_unit}" if view.metric_unit else ""
    lower = "" if view.higher_is_better else " (lower is better)"
    table.add_column("rung", min_width=8, overflow="fold")
    table.add_column(f"{view.metric}{unit}{lower}\n(95% interval)", overflow="fold")
    if regrets:
        table.add_column("regret\n(chance)", justify="right")
    first, second = ("to make", "1,000\nanswers") if view.measured else ("train", "total")
    for name in (f"{first} /\n{second}",) if narrow else (first, second):
        table.add_column(name, justify="right", overflow="fold")
    if wide and view.measured:
        table.add_column(f"made, and\n{numbers.count(view.volume)} answers", justify="right", overflow="fold")
    if forgot:
        table.add_column("forgot,\nnats/token", justify="right")
    if notes:
        table.add_column("notes", overflow="fold", ratio=1)
    for rung in view.rungs:
        table.add_row(*_cells(rung, layout), style=_style(rung))
    return table


def _cells(rung: Rung, layout: _Layout) -> list[Text]:
    quality = rung.quality.replace(", not", "\nnot")
    cells = [
        ("> " if rung.recommended else "  ") + rung.name,
        quality.replace(" (", "\n(") if layout.broken else quality,
    ]
    if layout.regrets:
        absent = rung.regret == numbers.ABSENT
        between = "\n" if layout.broken else " "
        cells.append(numbers.ABSENT if absent else f"{rung.regret}{between}({rung.chance})")
    first, second = (rung.making, rung.thousand) if layout.two_costs else (rung.train, rung.total)
    if layout.narrow:
        absent = first == second == numbers.ABSENT
        cells.append(numbers.ABSENT if absent else f"{first} /\n{second}")
    else:
        cells += [first, second]
    if layout.wide and layout.two_costs:
        cells.append(rung.at_volume)
    if layout.forgot:
        cells.append(rung.forgot)
    if layout.notes:
        cells.append("\n".join(rung.notes))
    return [Text(cell) for cell in cells]


def _style(rung: Rung) -> str:
    if rung.recommended:
        return "bold green"
    return "" if rung.ok else "dim"


def _print_others(view: View, console: Console) -> None:
    """A line for every metric but the primary one, and what makes scores of other tools comparable."""
    for name, values in tables.others(view):
        found = ", ".join(f"{rung} {value}" for rung, value in values)
        console.print(Padding(Text.assemble((name, "bold"), f": {found}"), (0, 0, 0, 2)))
    for note in tables.metric_notes(view):
        console.print(Padding(Text(note, style="dim"), (0, 0, 0, 2)))


def _print_verdict(view: View, console: Console) -> None:
    style = "bold" if view.finished else "italic"
    console.print(Text(view.sentence, style=style))
    verdict = view.verdict
    if verdict is None:
        return
    for reason in verdict.reasons:
        console.print(Padding(Text(numbers.one_line(reason)), (0, 0, 0, 2)))
    for line in _break_evens(view):
        console.print(Padding(Text(line), (0, 0, 0, 2)))
    if verdict.helps:
        helps = numbers.one_line(" ".join(verdict.helps))
        console.print(Text.assemble(("What would help most: ", "bold"), helps))


def _break_evens(view: View) -> tuple[str, ...]:
    """The numbers of answers from which another rung is cheaper, among rungs that are worth their cost."""
    found = sentences(break_evens(view.costs.lines))
    return (f"Total cost: {'; '.join(found)}.",) if found else ()
