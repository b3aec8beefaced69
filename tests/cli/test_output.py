"""What is printed: cleaned, and through one place."""

from __future__ import annotations

import ast
import io
import json
import sys
from pathlib import Path

import pytest

import rung
from rung.cli.output import complain, print_json, row_stream, say

BAD = "a\x1b[2J\x7f\x9b\u202e\udcff b"
SOURCE = Path(rung.__file__).parent
PRINTERS = {"cli/output.py", "cli/console.py", "cli/process.py"}


def writers(path: Path) -> list[str]:
    """Places in a module that write to a standard stream, or make a console, on their own."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            plain = name in (
                "print",
                "typer.echo",
                "typer.secho",
                "click.echo",
                "Console",
                "Clean",
                "os.write",
            )
            direct = name.endswith(
                (".stdout.write", ".stderr.write", ".stdout.buffer.write", ".print_exception")
            )
            if plain or direct:
                found.append(f"{path.relative_to(SOURCE).as_posix()}:{node.lineno} {name}")
    return found


def test_nothing_else_prints() -> None:
    files = [path for path in SOURCE.rglob("*.py") if path.relative_to(SOURCE).as_posix() not in PRINTERS]
    assert [one for path in files for one in writers(path)] == []


def test_the_search_for_other_printers_can_fail() -> None:
    assert [one.split()[0].split(":")[0] for one in writers(SOURCE / "cli/output.py")] == ["cli/output.py"]


def test_text_is_cleaned(capsys: pytest.CaptureFixture[str]) -> None:
    say(BAD)
    complain(f"x\n  {BAD}")
    shown = "a\\x1b[2J\\x7f\\x9b<U+202E><U+DCFF> b\n"
    assert capsys.readouterr() == (shown, f"rung: x {shown}")


def test_json_keeps_its_values_and_steers_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": BAD, "b": "é 語\n"})
    out = capsys.readouterr().out
    assert json.loads(out) == {"a": BAD, "b": "é 語\n"}
    assert not set(BAD.replace(" ", "").replace("a", "").replace("b", "")) - set("[2J") & set(out)
    assert "é 語" in out


def test_json_keeps_its_values_where_the_stream_is_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", errors="replace"))
    print_json({"b": "é 語"})
    assert json.loads(raw.getvalue()) == {"b": "é 語"}


def test_rows_are_utf8_in_a_file_and_cleaned_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    row_stream().write("é\x1b\n")
    sys.stdout.flush()
    assert raw.getvalue() == b"\xc3\xa9\x1b\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert row_stream().write("é\x1b\n") == 3
    row_stream().flush()
    assert raw.getvalue().endswith(b"\xc3\xa9\\x1b\n")
