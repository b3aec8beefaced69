"""The table of a run for the terminal: readable at 80 columns, unbroken at 60, plain without colour."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rung import numbers
from rung.report.view import Rung, View

NARROW = 76  # columns below which cells are broken in two lines
WIDE = 104  # columns from which notes stand in the table


def print_view(view: View, console: Console, report: Path | None = None) -> None:
    """Print the table, the notes, the verdict and the path of the report to `console`."""
    wide, narrow = console.width >= WIDE, console.width < NARROW
    console.print(_title(view))
    if view.parts:
        console.print(Text(view.parts, style="dim"))
    console.print(_table(view, wide, narrow))
    if not wide:
        for rung in view.rungs:
            for note in rung.notes:
                console.print(_note(rung, note))
    if wide or any(rung.notes for rung in view.rungs):
        console.print()
    _print_verdict(view, console)
    if report is not None:
        console.print(Text.assemble(("Report: ", "dim"), numbers.clean(str(report))), soft_wrap=True)


def _title(view: View) -> Text:
    info = view.info
    title = Text(numbers.one_line(info.name), style="bold")
    rows = max((r.result.primary.n for r in view.rungs if r.result.primary), default=len(view.examples))
    facts = [
        info.task.kind.replace("_", " "),
        *([numbers.one_line(info.base)] if info.base else []),  # empty where no rung needs one
        f"{numbers.count(rows)} test rows",
    ]
    return title.append("  " + " · ".join(facts), style="not bold dim")


def _table(view: View, wide: bool, narrow: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), header_style="bold")
    unit = f", {view.metric_unit}" if view.metric_unit else ""
    lower = "" if view.higher_is_better else " (lower is better)"
    table.add_column("rung", min_width=8, overflow="fold")
    table.add_column(f"{view.metric}{unit}{lower}\n(95% interval)", overflow="fold")
    if regrets := bool(view.verdict and view.verdict.regrets):
        table.add_column("regret\n(chance)", justify="right")
    for name in ("train /\ntotal",) if narrow else ("train", "total"):
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("forgot,\nnats/token", justify="right")
    if wide:
        table.add_column("notes", overflow="fold", ratio=1)
    for rung in view.rungs:
        table.add_row(*_cells(rung, wide, narrow, regrets), style=_style(rung))
    return table


def _cells(rung: Rung, wide: bool, narrow: bool, regrets: bool) -> list[Text]:
    name = ("> " if rung.recommended else "  ") + rung.name
    cells = [name, rung.quality, rung.train, rung.total, rung.forgot]
    if narrow:
        absent = rung.train == rung.total == numbers.ABSENT
        times = numbers.ABSENT if absent else f"{rung.train} /\n{rung.total}"
        cells = [name, rung.quality.replace(" (", "\n("), times, rung.forgot]
    if regrets:
        absent = rung.regret == numbers.ABSENT
        lines = "\n" if narrow else " "
        cells.insert(2, numbers.ABSENT if absent else f"{rung.regret}{lines}({rung.chance})")
    if wide:
        cells.append("\n".join(rung.notes))
    return [Text(cell) for cell in cells]


def _style(rung: Rung) -> str:
    if rung.recommended:
        return "bold green"
    return "" if rung.ok else "dim"


def _note(rung: Rung, note: str) -> Text:
    return Text.assemble((rung.name, "bold"), ": ", note)


def _print_verdict(view: View, console: Console) -> None:
    style = "bold" if view.finished else "italic"
    console.print(Text(view.sentence, style=style))
    verdict = view.verdict
    if verdict is None:
        return
    for reason in verdict.reasons:
        console.print(Padding(Text(numbers.one_line(reason)), (0, 0, 0, 2)))
    if verdict.helps:
        helps = numbers.one_line(" ".join(verdict.helps))
        console.print(Text.assemble(("What would help most: ", "bold"), helps))
