"""What the output cell of a notebook shows."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

from rung.report import notebook
from rung.report.html import write_report
from rung.report.notebook import run_html, table_html
from rung.report.tables import Table
from rung.report.view import load_view


class _Cell(HTMLParser):
    """Tags, attributes and words of a piece of HTML; fails on a tag that does not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_table_verdict_and_report(tickets: Path) -> None:
    report = write_report(tickets)
    cell = _Cell(run_html(load_view(tickets), report))
    assert cell.text.index("lora") < cell.text.index("LoRA beats 8-shot prompting by 23.3 points")
    assert "prompt: subject, body; target: queue; not used: id" in cell.text
    (frame,) = [attributes for tag, attributes in cell.tags if tag == "iframe"]
    assert frame["sandbox"] == "allow-scripts"
    assert frame["srcdoc"] == report.read_text(encoding="utf-8")
    (link,) = [attributes for tag, attributes in cell.tags if tag == "a"]
    assert (link["href"] or "").endswith("/tickets/report.html")


def test_a_large_report_is_a_link(tickets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = write_report(tickets)
    monkeypatch.setattr(notebook, "MOST_EMBEDDED", report.stat().st_size - 1)
    for path in (report, tickets / "nowhere.html"):
        tags = [tag for tag, _ in _Cell(run_html(load_view(tickets), path)).tags]
        assert "iframe" not in tags
        assert tags.count("a") == 1


def test_attacks_stay_text(fake: ModuleType, hostile: Path) -> None:
    folder = hostile.rename(hostile.with_name('"><img src=x>'))
    text = run_html(load_view(folder), folder / "report.html")
    cell = _Cell(text)
    assert {tag for tag, _ in cell.tags} <= {"table", "thead", "tbody", "tr", "th", "td", "p", "b", "a"}
    assert not any(name.startswith("on") for _, attributes in cell.tags for name in attributes)
    assert fake.XSS[1] in cell.text
    assert not re.search("<img|<script", text)


def test_the_marked_row_is_bold() -> None:
    table = Table(("rung", "score"), (("a<b", "1"), ("lora", "2")), frozenset({1}), marked=1)
    assert table_html(table) == (
        '<table><thead><tr><th style="text-align:left">rung</th><th style="text-align:right">score</th></tr>'
        '</thead><tbody><tr><td style="text-align:left">a&lt;b</td><td style="text-align:right">1</td></tr>'
        '<tr><td style="text-align:left"><b>lora</b></td><td style="text-align:right"><b>2</b></td></tr>'
        "</tbody></table>"
    )
