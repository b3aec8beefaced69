"""Files and folders without permission: the exit code of what they are. CI runs this file as two users."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import letters
import rights
from rung import cli
from rung.bases.tiny import save_tiny
from rung.ladder.climb import Climbed

USAGE, DATA, BASE, RESOURCES, RESUME = 2, 3, 4, 6, 7
NOTHING, READ_ONLY = 0, 0o555
CLIMB = ["climb", "good.csv", "--base", "tiny", "--rungs", "constant", "--output", "made/run"]


@pytest.fixture(autouse=True)
def _surroundings(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def place(tmp_path: Path, classical: Climbed) -> Iterator[Path]:
    """A folder with one of each thing; at the end permissions are given back, so that it can be deleted."""
    letters.write_csv(tmp_path / "good.csv", 60)
    (tmp_path / "c.yaml").write_text("seed: 1\n")
    (tmp_path / "made").mkdir()
    (tmp_path / "inside").mkdir()
    letters.write_csv(tmp_path / "inside" / "rows.csv", 60)
    save_tiny(tmp_path / "base")
    shutil.copytree(classical.folder, tmp_path / "run")
    yield tmp_path
    for path in (tmp_path, *tmp_path.iterdir()):
        path.chmod(0o777)


def test_permissions_hold_here(place: Path) -> None:
    """Without this the tests below would show nothing."""
    (place / "good.csv").chmod(NOTHING)
    (place / "inside").chmod(NOTHING)
    (place / "made").chmod(READ_ONLY)
    with rights.of_others():
        with pytest.raises(PermissionError):
            (place / "good.csv").read_bytes()
        with pytest.raises(PermissionError):
            list((place / "inside").iterdir())
        with pytest.raises(PermissionError):
            (place / "made" / "x").write_text("x")
    assert os.geteuid() != 0 or (place / "good.csv").read_bytes()
    assert sys.platform == "linux" or os.geteuid() != 0, "root can only give up its rights on Linux"


# what may not be used, its permissions, arguments, exit code, a part of the message
CASES: dict[str, tuple[str, int, list[str], int, str]] = {
    "a file, climb": ("good.csv", NOTHING, ["climb", "good.csv"], DATA, "good.csv: cannot be read"),
    "a file, check": ("good.csv", NOTHING, ["check", "good.csv"], DATA, "good.csv: cannot be read"),
    "a file, tune": ("good.csv", NOTHING, ["tune", "good.csv"], DATA, "good.csv: cannot be read"),
    "a file, evaluate": ("good.csv", NOTHING, ["evaluate", "good.csv"], DATA, "good.csv: cannot be read"),
    "a file, predict": (
        "good.csv",
        NOTHING,
        ["predict", "good.csv", "--run", "run"],
        DATA,
        "good.csv: cannot be read",
    ),
    "a folder of files": ("inside", NOTHING, ["check", "inside/rows.csv"], DATA, "rows.csv: "),
    "a config": ("c.yaml", NOTHING, ["climb", "good.csv", "--config", "c.yaml"], USAGE, "c.yaml: "),
    "a base's config": (
        "base/config.json",
        NOTHING,
        ["chat", "--base", "base"],
        BASE,
        "base: the folder cannot be read",
    ),
    "a base's weights": ("base/model.safetensors", NOTHING, ["chat", "--base", "base"], BASE, "safetensors"),
    "a base": ("base", NOTHING, ["chat", "--base", "base"], BASE, "base"),
    "a run's facts": ("run/run.json", NOTHING, ["report", "run"], RESUME, "run.json: cannot be read"),
    "a run's answers": (
        "run/answer/words/manifest.json",
        NOTHING,
        ["predict", "good.csv", "--run", "run", "--rung", "words"],
        RESUME,
        "words: ",
    ),
    "a run": ("run", NOTHING, ["report", "run"], USAGE, "run"),
    "a run that is read only": (
        "run",
        READ_ONLY,
        ["report", "run"],
        RESOURCES,
        "cannot write: ",
    ),
    "a place for a run": ("made", READ_ONLY, CLIMB, RESOURCES, "made/run: cannot write: Permission denied"),
    "a place for answers": (
        "made",
        READ_ONLY,
        ["predict", "good.csv", "--run", "run", "--output", "made/out.csv"],
        RESOURCES,
        "cannot write: Permission denied",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_without_permission(name: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    what, mode, arguments, code, said = CASES[name]
    (place / what).chmod(mode)
    try:
        with rights.of_others():
            assert cli.run(arguments) == code
    finally:
        (place / what).chmod(0o777)
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.startswith("rung: ")
    assert said in err
    assert "ermission" in err


def test_a_cache_that_is_read_only_is_no_reason_to_stop(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNG_CACHE", str(place / "inside"))
    (place / "inside").chmod(READ_ONLY)
    with rights.of_others():
        assert cli.run(CLIMB) == 0
    assert [path.name for path in (place / "inside").iterdir()] == ["rows.csv"]
