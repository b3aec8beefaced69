"""A run as a few lines of HTML for the output cell of a notebook; all text from outside is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from urllib.parse import quote

from rung import numbers
from rung.report import tables
from rung.report.tables import Table
from rung.report.view import View

MOST_EMBEDDED = 2_000_000  # bytes of a report that a notebook carries


def run_html(view: View, report: Path) -> str:
    """The ladder as a table, the verdict, and the report: folded in where it is small, else as a link."""
    lines = [f"<p><b>{escape(view.sentence)}</b></p>"]
    if view.parts:
        lines.insert(0, f"<p>{escape(view.parts)}</p>")
    path = numbers.one_line(report.as_posix())
    link = f'<a href="{escape(quote(report.as_posix()))}" target="_blank">{escape(path)}</a>'
    if report.is_file() and report.stat().st_size <= MOST_EMBEDDED:
        page = escape(report.read_text(encoding="utf-8"))
        frame = f'<iframe sandbox="allow-scripts" style="width:100%;height:640px;border:0" srcdoc="{page}">'
        lines.append(f"<details><summary>Report ({link})</summary>{frame}</iframe></details>")
    else:
        lines.append(f"<p>Report: {link}</p>")
    return table_html(tables.ladder(view)) + "".join(lines)


def table_html(table: Table) -> str:
    """A table; the marked row is bold, columns of numbers are right-aligned."""

    def row(cells: Iterable[str], tag: str, bold: bool = False) -> str:
        found = ""
        for place, cell in enumerate(cells):
            side = "right" if place in table.right else "left"
            text = f"<b>{escape(cell)}</b>" if bold else escape(cell)
            found += f'<{tag} style="text-align:{side}">{text}</{tag}>'
        return f"<tr>{found}</tr>"

    body = "".join(row(cells, "td", place == table.marked) for place, cells in enumerate(table.rows))
    return f"<table><thead>{row(table.head, 'th')}</thead><tbody>{body}</tbody></table>"
