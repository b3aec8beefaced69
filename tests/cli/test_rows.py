"""Rows as they were understood: on the screen, and as a file in the messages format."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import letters
from rung import cli
from rung.data.formats import read_examples

TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Red?"},
    {"role": "assistant", "content": "Ask later.", "weight": 0},
    {"role": "user", "content": "And now?"},
    {"role": "assistant", "content": "Yes, \x1b[31mred\x1b[0m."},
]


def conversations(folder: Path, count: int = 30) -> Path:
    rows = [[*TURNS[:3], {"role": "user", "content": f"And now, {n}?"}, TURNS[4]] for n in range(count)]
    answers = [{"role": "assistant", "content": f"Answer {n}."} for n in range(count)]
    rows = [[*turns[:4], answer] for turns, answer in zip(rows, answers, strict=True)]
    rows[0] = TURNS
    return letters.write_jsonl(folder / "chat.jsonl", [{"messages": turns} for turns in rows])


def test_rows_are_shown_by_their_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", str(conversations(tmp_path)), "--base", "tiny", "--show", "1"]) == 0
    out = capsys.readouterr().out
    shown = out[out.index("\nRow 1\n") : out.index("Turns: ")]
    assert shown.strip().split("\n") == [
        "Row 1",
        "system: Be brief.",
        "user: Red?",
        "assistant (not learned): Ask later.",
        "user: And now?",
        "target: Yes, \\x1b[31mred\\x1b[0m.",
    ]
    assert "Row 2\n" not in out
    assert "30 of 60 assistant turns are learned (30 are marked weight 0)" in " ".join(out.split())


def test_rows_are_written_as_messages_and_read_back_equal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = conversations(tmp_path), tmp_path / "out.jsonl"
    assert cli.run(["check", str(source), "--write", str(out)]) == 0
    assert "30 rows of messages" in capsys.readouterr().out
    assert json.loads(out.read_text().split("\n")[0]) == {"messages": TURNS}
    before, after = read_examples(source).examples, read_examples(out).examples
    assert [one.messages for one in after] == [one.messages for one in before]


def test_writing_needs_no_base_and_no_torch(tmp_path: Path) -> None:
    source, out = str(conversations(tmp_path)), str(tmp_path / "o.jsonl")
    code = (
        f"import sys; from rung import cli; code = cli.run(['check', {source!r}, '--write', {out!r}]); "
        "print(code, {'torch', 'transformers'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "0 set()"


def test_a_file_that_exists_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    assert cli.run(["check", str(conversations(tmp_path)), "--write", str(out)]) == 2
    assert "out.jsonl: exists already. Give another name" in capsys.readouterr().err
    assert out.read_text() == "mine"


def test_data_errors_come_before_torch(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"text": "a"\n')
    for verb in ("check", "climb", "tune"):
        code = (
            f"import sys; from rung import cli; code = cli.run([{verb!r}, {str(tmp_path / 'bad.jsonl')!r}]); "
            "print(code, {'torch', 'transformers', 'scipy', 'sacrebleu'} & set(sys.modules))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "3 set()", verb


def test_json_has_the_parts_and_the_first_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", str(conversations(tmp_path)), "--base", "tiny", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["parts"] == {"conversation": ["messages"]}
    assert value["format"] == "messages"
    assert [turn["role"] for turn in value["first"]] == ["system", "user", "assistant", "user", "assistant"]
    assert [turn["learn"] for turn in value["first"]][2:] == [False, True, True]
    assert value["findings"]["rows"] == value["rows"] == 30
