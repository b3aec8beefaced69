"""Several files on one page and in one table: an adapter for each against one for all.

Reads ``many.json`` of the folder; the climbs of the files have reports of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rung import numbers
from rung.records import Measure, from_json
from rung.storage import read_json, write_file

RECORD = "many.json"
HEAD = ("file", "measure", "best prompt", "alone", "one for all", "difference", "forgot alone / all")
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{{ style }}</style></head>
<body><main>
<h1>{{ title }}</h1><p><strong>{{ sentence }}</strong></p>
<div class="scroll"><table><thead><tr>{% for cell in head %}<th>{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row, link in rows %}<tr><th><a href="{{ link }}">{{ row[0] }}</a></th>
{%- for cell in row[1:] %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>{% for note in notes %}<p>{{ note }}</p>{% endfor %}</main></body></html>
"""


def load(folder: Path) -> dict[str, Any]:
    """The record of the folder. Raises `ResumeError` where it is damaged."""
    found = read_json(folder / RECORD)
    return dict(found)


def rows(record: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row a file, under `HEAD`."""
    found: list[tuple[str, ...]] = []
    for part in record["parts"]:
        alone, both = part["alone"], part["all"]
        shown = _measure(alone["measure"]) or _measure(both["measure"]) or _measure(part["prompted"])
        difference = part["difference"] and _measure(part["difference"]["difference"])
        told = {"": "", "all": " *", "alone": " *"}[part["better"]]
        found.append(
            (
                numbers.one_line(part["name"]),
                f"{numbers.metric_name(shown.name)}, {numbers.unit(shown)}" if shown else numbers.ABSENT,
                f"{numbers.quality(_measure(part['prompted']))} {part['prompt']}".strip(),
                _side(alone),
                _side(both),
                numbers.quality(difference, difference=True) + told if difference else numbers.ABSENT,
                f"{_drift(alone)} / {_drift(both)}",
            )
        )
    return found


def notes(record: Mapping[str, Any]) -> list[str]:
    """What stands under the table: sizes, starts, what a mark means."""
    parts = record["parts"]
    sizes = [part["alone"]["bytes"] for part in parts]
    whole = sum(sizes) if None not in sizes else None
    found = [
        f"Bytes: {len(parts)} adapters {numbers.size(whole)}, one for all "
        f"{numbers.size(parts[0]['all']['bytes'])} ({numbers.one_line(record['method'])}, "
        f"mixture {numbers.one_line(record['mix'])}).",
        "Forgot: nats a token against the base. Difference: one for all minus alone; "
        "* where they are told apart.",
    ]
    found += [f"{numbers.one_line(note)}." for note in record.get("notes", ())]
    for part in parts:
        if part["starts"]:
            saved = [f"{numbers.one_line(name)} {value:+.3f}" for name, value in part["starts"].items()]
            found.append(
                f"As a start for {numbers.one_line(part['name'])}, nats a token saved on dev before any "
                f"training on it, by the adapter of: {', '.join(saved)} (negative: worse than the base)."
            )
    return found


def print_many(record: Mapping[str, Any], console: Console, report: Path) -> None:
    """The table, its notes, the verdict and the path of the page; one block a file where it is narrow."""
    found = rows(record)
    if console.width < 110:
        for row in found:
            console.print(Text(row[0], style="bold"))
            for name, cell in zip(HEAD[1:], row[1:], strict=True):
                console.print(Text(f"  {name:<20}{cell}"))
    else:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
        for name in HEAD:
            table.add_column(name, overflow="fold")
        for row in found:
            table.add_row(*map(Text, row))
        console.print(table)
    for note in notes(record):
        console.print(Text(note))
    console.print(Text(numbers.one_line(record["sentence"]), style="bold"))
    console.print(Text(f"Report: {numbers.clean(str(report))}"), soft_wrap=True)


def write_many(folder: Path) -> Path:
    """Write ``report.html`` and return its path. Raises `ResourceError` where it cannot be written."""
    record, path = load(folder), folder / "report.html"
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    links = [f"{part['name']}/report.html" for part in record["parts"]]
    page = environment.from_string(_PAGE).render(
        title=f"{len(links)} files: one adapter for each, or one for all",
        style=Markup(files("rung.report").joinpath("page.css").read_text(encoding="utf-8")),
        sentence=numbers.one_line(record["sentence"]),
        head=HEAD,
        rows=list(zip(rows(record), links, strict=True)),
        notes=notes(record),
    )
    write_file(path, page.encode("utf-8", "replace"))
    return path


def _measure(value: Any) -> Measure | None:
    return None if value is None else from_json(Measure, value, RECORD)


def _side(side: Mapping[str, Any]) -> str:
    measure = _measure(side["measure"])
    return numbers.quality(measure) if measure else numbers.one_line(side["why"])[:60] or numbers.ABSENT


def _drift(side: Mapping[str, Any]) -> str:
    measure = _measure(side["forgot"])
    return numbers.ABSENT if measure is None or measure.value is None else f"{measure.value:.3f}"
