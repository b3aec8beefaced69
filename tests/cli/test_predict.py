"""`rung predict` from the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import shell
from answering import new_rows, read
from rung import cli
from rung.ladder.climb import Climbed


@pytest.fixture
def new_csv(tmp_path: Path) -> Path:
    file = tmp_path / "new.csv"
    with file.open("w", newline="") as open_file:
        csv.writer(open_file).writerows(
            [("n", "text"), *((row["n"], row["text"]) for row in new_rows(20)), (20, "")]
        )
    return file


def test_a_file_to_stdout_with_a_note_on_stderr(
    classical: Climbed, new_csv: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["predict", str(new_csv), "--run", str(classical.folder), "--rung", "words"]) == 0
    out, err = capfd.readouterr()
    written = list(csv.DictReader(out.splitlines()))
    assert len(written) == 20 + 1
    assert {row["answer"] for row in written[:20]} == {"0", "1"}
    assert "20 of 21 rows answered by words" in err
    assert "1 row: the row has no text in 'text'" in err


def test_a_file_to_a_file(classical: Climbed, new_csv: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = new_csv.with_name("out.jsonl")
    asked = ["predict", str(new_csv), "--run", str(classical.folder), "--output", str(out)]
    assert cli.run([*asked, "--rung", "words", "--no-probabilities"]) == 0
    assert list(read(out)[0]) == ["n", "text", "answer", "error"]
    assert capfd.readouterr().out == ""
    assert cli.run(asked) == 2
    assert "exists already" in capfd.readouterr().err


def test_lines_on_stdin(classical: Climbed) -> None:
    done = shell.rung(["predict", "-", "--run", str(classical.folder)], stdin="mmamm\n\nmmbmm\n")
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["text"] for row in answers] == ["mmamm", "", "mmbmm"]
    assert "2 of 3 rows answered" in done.stderr


@pytest.mark.parametrize(("output", "says"), [((), "printed so far"), (("--output", "o.csv"), "again to")])
def test_a_stop_says_whether_the_command_can_be_continued(
    classical: Climbed,
    new_csv: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    output: tuple[str, ...],
    says: str,
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(new_csv.parent)
    monkeypatch.setattr("rung.ladder.predictor.Predictor.predict", stop)
    assert cli.run(["predict", str(new_csv), "--run", str(classical.folder), *output]) == 130
    assert says in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["-", "--output", "x.csv"], 2, "lines from stdin are answered on stdout"),
        (["none.csv"], 3, "no such file"),
        (["bad.csv"], 3, "lacks the prompt column 'text'"),
        (["empty.csv"], 3, "no row could be answered"),
        (["bad.csv", "--rung", "lora"], 2, "no rung 'lora'"),
    ],
)
def test_wrong_uses(
    classical: Climbed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.csv").write_text("id,body\n1,x\n")
    Path("empty.csv").write_text('id,text\n1,""\n2," "\n')
    assert cli.run(["predict", *arguments, "--run", str(classical.folder)]) == code
    assert says in capfd.readouterr().err
