"""The terminal table, at several widths and without colour."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from rung.report.text import print_view
from rung.report.view import load_view


def _printed(folder: Path, width: int, colour: bool = False) -> str:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=colour, color_system="truecolor" if colour else None
    )
    print_view(load_view(folder), console, Path("runs/tickets/report.html"))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_cut(tickets: Path, width: int) -> None:
    text = _printed(tickets, width)
    assert max(len(line) for line in text.splitlines()) <= width
    for rung in load_view(tickets).rungs:
        for figure in (
            rung.name,
            *rung.quality.split(" (", 1)[1:],
            *rung.making.split("\n"),
            *rung.thousand.split("\n"),
            rung.forgot,
        ):
            assert figure in text
    assert "…" not in text


def test_rung_is_one_line_at_80_columns_and_the_recommended_one_is_marked(tickets: Path) -> None:
    lines = _printed(tickets, 80).splitlines()
    marked = [line for line in lines if line.startswith("> ")]
    assert len(marked) == 1
    assert marked[0].split()[:2] == [">", "lora"]
    assert "5 min 26 s" in marked[0]
    assert "10 min 3 s" in marked[0]
    assert marked[0].rstrip().endswith("0.012")


def test_verdict_notes_and_path_stand_under_the_table(tickets: Path) -> None:
    text = _printed(tickets, 80)
    table, note, verdict, path = (
        text.index("> lora"),
        text.index("lora: 2 of 820 train rows"),
        text.index("LoRA beats 8-shot"),
        text.index("Report: runs/tickets/report.html"),
    )
    assert table < note < verdict < path


def test_what_the_columns_are_stands_under_the_name(tickets: Path) -> None:
    lines = _printed(tickets, 80).splitlines()
    assert lines[1] == "prompt: subject, body; target: queue; not used: id"


@pytest.mark.parametrize("width", [60, 80, 130])
def test_a_long_note_on_strength_stands_under_the_table(
    tickets: Path, add_forgetting: Callable[[Path], None], width: int
) -> None:
    """In a column of its own it would be a tall row; what was saved is said at every width."""
    if width > 104:
        assert "notes" in _printed(tickets, width)  # they are short
    add_forgetting(tickets)
    text = _printed(tickets, width)
    assert max(len(line) for line in text.splitlines()) <= width
    said = "lora: its change was weakened to 0.43 of its strength: it forgot 0.012 instead of 0.200 nats a"
    assert said in " ".join(text.split())
    assert "notes" not in text
    assert text.index("> lora") < text.index("lora: its change") < text.index("LoRA beats 8-shot")


def test_failed_rung_says_why(receipts: Path) -> None:
    text = _printed(receipts, 80)
    assert "full: full fine-tuning needs 3.2 GB and 1.9 GB are free" in text
    assert "failed" in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_regrets_and_what_would_help_are_shown(
    tickets: Path, add_regrets: Callable[[Path], None], width: int
) -> None:
    assert "What would help most" not in _printed(tickets, width)
    add_regrets(tickets)
    text = _printed(tickets, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "(96%)" in text
    assert "What would help most: Train LoRA longer. A larger base." in text.replace("\n", " ")


def test_costs_and_break_evens_are_shown(tickets: Path) -> None:
    text = " ".join(_printed(tickets, 120).split())
    assert "10,000 answers" in text
    assert (
        "Total cost: zero-shot is cheaper than lora up to" not in text
    )  # it is never the more expensive one
    path = tickets / "results" / "few-shot.json"
    value = json.loads(path.read_text())
    value["cost"] |= {"answer_money": 0.0105, "money": 0.0107}  # cheap to make
    path.write_text(json.dumps(value))
    assert "few-shot is cheaper than lora up to" in " ".join(_printed(tickets, 120).split())


def test_a_run_from_before_the_two_costs_shows_the_whole_time(tickets: Path) -> None:
    for path in (tickets / "results").iterdir():
        value = json.loads(path.read_text())
        value["cost"] = {"seconds": value["cost"]["seconds"], "train_seconds": 100.0}
        path.write_text(json.dumps(value))
    text = _printed(tickets, 80)
    assert "6 min 2 s" in text
    assert "to make" not in text


def test_a_rung_that_was_cut_short_is_marked(tickets: Path) -> None:
    path = tickets / "results" / "full.json"
    value = json.loads(path.read_text()) | {"status": "unfinished", "done": 0.12, "needs_seconds": 5400.0}
    path.write_text(json.dumps(value))
    text = _printed(tickets, 80)
    assert "not finished (12%)" in text
    assert "full: a budget of 1 h 30 min would finish it" in text


def test_unfinished_run(tickets: Path) -> None:
    (tickets / "verdict.json").unlink()
    text = _printed(tickets, 80)
    assert "not finished" in text
    assert "\n> " not in text


def test_colour_only_where_the_console_has_it(tickets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in _printed(tickets, 80)
    assert "\x1b[" in _printed(tickets, 80, colour=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[1;32m" not in _printed(tickets, 80, colour=True)


def test_foreign_text_cannot_drive_the_terminal(hostile: Path) -> None:
    path = hostile / "verdict.json"
    path.write_text(path.read_text().replace("LoRA beats", "\\u001b]0;owned\\u0007[bold]LoRA[/bold] beats"))
    text = _printed(hostile, 80)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold]LoRA[/bold]" in text


def test_long_names_of_rungs_stay_whole_at_80_columns(
    tickets: Path, add_regrets: Callable[[Path], None], add_forgetting: Callable[[Path], None]
) -> None:
    add_regrets(tickets)
    add_forgetting(tickets)
    path = tickets / "results" / "lora.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    kept["rung"] = "lora-open-book-x"
    path.write_text(json.dumps(kept), encoding="utf-8")
    for width in (80, 120):
        lines = _printed(tickets, width).splitlines()
        assert any(line[2:].startswith("lora-open-book-x ") for line in lines)
