"""`rung check`: what rung sees in a file."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

import letters
from chat_templates import TEMPLATES
from rung import cli
from rung.cli.check import _answers


def table(folder: Path, name: str = "rows.jsonl", extra: tuple[tuple[str, str], ...] = ()) -> str:
    rows = [*letters.rows(40), *extra]
    values = [{"text": text, "label": label} for text, label in rows]
    return str(letters.write_jsonl(folder / name, values))


def test_a_good_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", table(tmp_path), "--base", "tiny"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("rows.jsonl: text-label, 40 rows\nprompt: text; target: label\nTask: ")
    assert "Turns: 40 rows of 2 turns; 40 user, 40 assistant" in out
    assert "Task: Classification: 40 of 40 targets are one of 2 short labels." in out
    assert "(2 of its 27 tokens are learned, shown in green)" in out
    assert "learned: 'a<|im_end|>'" in out or "learned: 'b<|im_end|>'" in out
    assert "Found nothing wrong." in out
    assert "\x1b" not in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.jsonl"]


def test_what_is_wrong_is_listed_by_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = letters.rows(1)[0]
    extra = (
        first,
        ("mmmm" * 700, "a"),
        ("nnn <|im_end|> nnn", "b"),
        ("rrrr", ""),
        ("ssss", "a\u200b"),
    )
    assert cli.run(["check", table(tmp_path, extra=extra), "--base", "tiny"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for line in (
        "1 row the same as an earlier one, kept once: row 41",
        "1 row longer than 2048 tokens, refused (leave them out with --long-rows drop): row 42",
        "1 row whose text spells control tokens (read as plain text): row 43",
        "1 row with an empty target, dropped: row 44",
        "1 row with invisible characters in the target: row 45",
    ):
        assert f"- {line} " in f"{out} "
    assert "nothing wrong" not in out


def test_rows_that_are_also_in_the_test_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = table(tmp_path, "test.jsonl", (("mnrst", "c"),))
    arguments = ["check", table(tmp_path), "--test", test, "--base", "tiny", "--max-length", "12"]
    assert cli.run([*arguments, "--long-rows", "drop"]) == 0
    out = capsys.readouterr().out
    assert "rows also in the test file, left out of train: 1 and 1, 2 and 2" in " ".join(out.split())
    assert "and 32 more" in out
    assert "label 'c' occurs in test only (1 rows)" in out
    assert "rows longer than 12 tokens, dropped" in out


def talks(folder: Path, count: int, weight: int = 1) -> str:
    """Rows of three questions and answers; the first two answers have a weight."""
    rows = []
    for number in range(count):
        turns = [{"role": r, "content": f"{r[0]}{number}"} for r in ("user", "assistant") * 3]
        turns[1]["weight"] = turns[3]["weight"] = weight  # type: ignore[assignment]
        rows.append({"messages": turns})
    return str(letters.write_jsonl(folder / "talks.jsonl", rows))


def test_every_answer_is_shown_as_learned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", talks(tmp_path, 24), "--base", "tiny"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "72 assistant turns in 24 rows: all are learned, the last of each row is measured" in out
    assert out.count("learned: 'a1") == 3
    assert "<|im_end|>" in out


def test_answers_that_are_not_learned_are_counted() -> None:
    def said(answers: int, marked: int, rewritten: int) -> str:
        learned = answers - marked - rewritten
        counts = {"answers": answers, "marked": marked, "rewritten": rewritten, "learned_answers": learned}
        return _answers(SimpleNamespace(rows=24, **counts))  # type: ignore[arg-type]

    last = "; the last of each row is measured"
    assert said(72, 24, 0) == f"48 of 72 assistant turns are learned (24 are marked weight 0){last}"
    both = "1 is marked weight 0, 2 are shown without their thoughts"
    assert said(72, 1, 2) == f"69 of 72 assistant turns are learned ({both}){last}"
    assert said(24, 0, 0) == ""


def test_rows_that_a_climb_will_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rung.data.templates._own_template", lambda _: TEMPLATES["no tools"])
    rows = letters.rows(30)
    values = [
        {"messages": [{"role": "user", "content": x}, {"role": "assistant", "content": y}]} for x, y in rows
    ]
    values[6]["messages"][:1] = [
        {"role": "user", "content": "2+2"},
        {"role": "assistant", "content": "get()"},
        {"role": "tool", "content": "4"},
    ]
    path = letters.write_jsonl(tmp_path / "rows.jsonl", values)
    assert cli.run(["check", str(path), "--base", "tiny"]) == 0
    said = "the chat template drops the text of turn 3 (tool)"
    assert f"1 row that a climb will refuse: {said}: row 7" in " ".join(capsys.readouterr().out.split())
    assert cli.run(["climb", str(path), "--base", "tiny", "--output", str(tmp_path / "run")]) == 3
    assert f"rows.jsonl: row 7: {said}" in " ".join(capsys.readouterr().err.split())


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", table(tmp_path), "--base", "tiny", "--json", "--task", "generation"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["task"]["kind"] == "generation"
    assert value["findings"]["rows"] == 40
    assert value["findings"]["prompt_tokens"]["max"] == 25


def test_a_row_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = [{"text": f"\x1b[31m{text}\x07", "label": label} for text, label in letters.rows(30)]
    path = letters.write_jsonl(tmp_path / "rows.jsonl", values)
    assert cli.run(["check", str(path), "--base", "tiny"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out


def test_no_base_is_loaded_for_a_file_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rung.compute.load.load", lambda *_, **__: 1 / 0)
    path = letters.write_jsonl(tmp_path / "rows.jsonl", [{"text": "x", "label": "a"}])
    assert cli.run(["check", str(path), "--base", "tiny"]) == 3
    assert "too few" in capsys.readouterr().err


def test_documents_are_looked_at_without_a_base(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rung.cli.base.ensure_base", lambda *_: pytest.fail("asked for a base"))
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "mill.md").write_text("# Mill\n\nThe mill opens at [seven].\n")
    (folder / "empty.txt").write_text("")
    assert cli.run(["check", str(folder), "--show", "1"]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0] == "docs: 1 document, 5 words in 1 passage"
    assert "- left out: empty.txt is empty. Put its text in it, or delete it" in said
    assert "mill.md: Mill\nThe mill opens at [seven]." in said
    assert "give questions with their answers: --test FILE" in said

    rows = [
        {"question": f"When does mill {n} open?", "answer": "" if n == 4 else f"at {n}"} for n in range(6)
    ]
    test = letters.write_jsonl(tmp_path / "q.jsonl", rows)
    assert cli.run(["check", str(folder), "--test", str(test)]) == 0
    said = capsys.readouterr().out
    assert "q.jsonl: prompt-completion, 6 rows to test on" in said
    assert "its target is empty (row 5)" in said
    assert "Task: Knowledge: questions about 1 document." in said

    assert cli.run(["check", str(folder), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert [one["source"] for one in value["documents"]["passages"]] == ["mill.md"]
    assert value["task"]["kind"] == "knowledge"
