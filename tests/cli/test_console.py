"""Nothing that is rendered steers a terminal."""

from __future__ import annotations

import io

import pytest
from rich.table import Table
from rich.text import Text

from rung.cli.console import console
from rung.cli.progress import Screen

BAD = "a\x1b[2J\x07\x9b31m\u202eb\u2066\u200b\udcff\U000e0041:smile:[bold]c[/bold]"
SHOWN = "a\\x1b[2J\\x07\\x9b31m<U+202E>b<U+2066><U+200B><U+DCFF><U+E0041>:smile:[bold]c[/bold]"


def table(text: str) -> Table:
    made = Table(title=text, box=None)
    made.add_column(text)
    made.add_row(text)
    return made


@pytest.mark.parametrize("what", ["text", "Text", "table"])
def test_everything_rendered_is_cleaned(what: str) -> None:
    stream = io.StringIO()
    screen = console(file=stream, width=200, force_terminal=True, color_system=None)
    screen.print({"text": BAD, "Text": Text(BAD), "table": table(BAD)}[what])
    shown = stream.getvalue()
    assert not set(BAD) - set(SHOWN) & set(shown)
    assert SHOWN.replace("\\x07", "") in shown.replace("\\x07", "")  # rich drops the bell itself


def test_colours_stay_on_a_terminal() -> None:
    stream = io.StringIO()
    screen = console(file=stream, force_terminal=True, color_system="standard")
    screen.print(Text("\x1b[2Ja", style="green"))
    assert stream.getvalue() == "\x1b[32m\\x1b[2Ja\x1b[0m\n"


def test_the_bar_and_its_lines_are_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    screen = Screen()
    screen.console.file = stream
    screen.say(BAD)
    assert SHOWN.replace("\\x07", "") in stream.getvalue()
