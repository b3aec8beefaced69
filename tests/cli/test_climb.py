"""`rung climb` and how a run is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import letters
from rung import cli
from rung.cli.climb import print_run, show
from rung.ladder.climb import Climbed

QUICK = letters.flags(**letters.FAST | {"rungs": "zero-shot"})


def test_json_is_all_there_is_on_stdout_and_nothing_on_stderr(
    letters_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["climb", str(letters_csv), "--output", str(tmp_path / "run"), "--json", *QUICK]) == 0
    out, err = capsys.readouterr()
    value = json.loads(out)
    assert err == ""
    assert value.keys() == {"folder", "report", "verdict", "results"}
    assert value["folder"] == str(tmp_path / "run")
    assert Path(value["report"]).is_file()
    assert [result["rung"] for result in value["results"]] == ["zero-shot"]


def test_flags_win_over_the_config_file(
    letters_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("base: tiny\nrungs: few-shot\nbudget: none\nthreads: 1\nseed: 3\n")
    arguments = ["climb", str(letters_csv), "--config", str(config), "--rungs", "zero-shot", "--json"]
    assert cli.run([*arguments, "--output", str(tmp_path / "run")]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["rung"] == "zero-shot"
    assert (result["asked"]["seed"], result["asked"]["rungs"]) == (3, ["zero-shot"])


def test_a_climb_is_shown_as_a_table_and_a_sentence(
    climbed: Climbed, capsys: pytest.CaptureFixture[str]
) -> None:
    show(climbed, json=False)
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert climbed.verdict.sentence in " ".join(text.split())
    for rung in ("zero-shot", "few-shot", "lora", "full"):
        assert rung in text
    assert f"> {climbed.verdict.recommended}" in text
    show(climbed, json=True)
    assert json.loads(capsys.readouterr().out)["verdict"]["recommended"] == climbed.verdict.recommended


def test_a_run_is_shown_from_its_folder_alone(
    climbed: Climbed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    print_run(climbed.folder, climbed.folder / "report.html")
    lines = capsys.readouterr().out.split("\n")
    assert max(len(line) for line in lines if not line.startswith("Report: ")) <= 60


def test_several_files_are_several_tasks(
    letters_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"prompt": f"say {word}", "completion": f"{word} {word}"} for word, _ in letters.rows(50, 7)]
    other = letters.write_jsonl(tmp_path / "words.jsonl", rows)
    quick = letters.flags(**letters.FAST | {"rungs": "zero-shot", "epochs": 1, "test_fraction": 0.1})
    assert cli.run(["climb", str(letters_csv), str(other), "--output", str(tmp_path / "out"), *quick]) == 0
    out = capsys.readouterr().out
    assert "one for all" in out
    assert "Bytes: 2 adapters" in out
    for page in ("report.html", "words/report.html"):
        assert (tmp_path / "out" / page).is_file()
    assert cli.run(["climb", str(other), str(other), *quick]) == 2
    assert "given twice" in capsys.readouterr().err
