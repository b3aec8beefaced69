"""`rung report`: a run from its folder alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import shell
from rung import cli
from rung.ladder.climb import Climbed


@pytest.fixture
def run(climbed: Climbed, tmp_path: Path) -> Path:
    return shutil.copytree(climbed.folder, tmp_path / "elsewhere")


def test_it_is_printed_and_written_anew(
    run: Path, climbed: Climbed, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "report.html").unlink(missing_ok=True)
    assert cli.run(["report", str(run)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert climbed.verdict.sentence in " ".join(out.split())
    assert (run / "report.html").is_file()


def test_it_needs_no_model_and_no_torch(run: Path) -> None:
    code = """
import sys
from rung.cli import run
print(run(["report", sys.argv[1]]), [name for name in ("torch", "transformers") if name in sys.modules])
"""
    assert shell.python(code, str(run)).stdout.strip().split("\n")[-1] == "0 []"


def test_a_folder_that_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["report", str(tmp_path)]) == 2
    assert "this is not a run folder: it holds no run.json. Give the folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_damaged(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "run.json").write_text("{")
    assert cli.run(["report", str(run)]) == 7
    assert capsys.readouterr().err.startswith("rung: run.json: ")
