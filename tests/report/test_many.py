"""The table and the page of several files."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rung.report.many import HEAD, load, notes, print_many, rows, write_many


def measure(value: float, **more: Any) -> dict[str, Any]:
    return {"name": "accuracy", "value": value, "low": value - 0.1, "high": value + 0.1, "n": 50, **more}


def side(value: float) -> dict[str, Any]:
    forgot = {"name": "kl", "value": 0.25, "unit": "nats/token"}
    return {"measure": measure(value), "forgot": forgot, "bytes": 2_000_000, "why": ""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    part = {
        "name": "a<b>",
        "prompt": "few-shot",
        "prompted": measure(0.5),
        "alone": side(0.6),
        "all": side(0.8),
        "difference": {"first": "all", "second": "alone", "difference": measure(0.2)},
        "better": "all",
        "starts": {"other": -0.125},
    }
    left = {"measure": None, "forgot": None, "bytes": None, "why": "no time"}
    other = part | {"name": "b", "alone": left, "difference": None, "better": "", "starts": {}}
    record = {
        "method": "lora",
        "mix": "temperature=2",
        "sentence": "One adapter <for> all.",
        "parts": [part, other],
        "notes": ["c was not measured"],
    }
    (tmp_path / "many.json").write_text(json.dumps(record))
    return tmp_path


def test_cells(folder: Path) -> None:
    first, second = rows(load(folder))
    assert first == (
        "a<b>",
        "accuracy, %",
        "50.0 (40.0 to 60.0) few-shot",
        "60.0 (50.0 to 70.0)",
        "80.0 (70.0 to 90.0)",
        "+20.0 (10.0 to 30.0) *",
        "0.250 / 0.250",
    )
    assert second[3] == "no time"
    assert second[5] == "-"
    said = " ".join(notes(load(folder)))
    assert "2 adapters -, one for all" in said  # unknown is not zero
    assert "adapter of: other -0.125" in said
    assert "c was not measured." in said
    old = {name: one for name, one in load(folder).items() if name != "notes"}
    assert "c was not" not in " ".join(notes(old))


@pytest.mark.parametrize("width", [60, 140])
def test_the_terminal_shows_every_cell(folder: Path, width: int) -> None:
    out = io.StringIO()
    print_many(load(folder), Console(file=out, width=width), folder / "report.html")
    assert all(word in out.getvalue() for word in ("few-shot", "no time", "One adapter <for> all.", HEAD[3]))


def test_the_page_escapes_what_comes_from_outside(folder: Path) -> None:
    page = write_many(folder).read_text()
    assert "a&lt;b&gt;" in page
    assert "One adapter &lt;for&gt; all." in page
    assert "<b>" not in page
    assert "script" not in page
