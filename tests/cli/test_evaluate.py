"""`rung evaluate`: the base and an adapter side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import letters
from rung import cli
from rung.ladder.climb import Climbed

ASKED = letters.flags(base="tiny", precision="fp32", threads=1)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(letters.write_csv(tmp_path_factory.mktemp("fresh") / "fresh.csv", 60, seed=9))


def test_a_table_and_the_difference(fresh: str, climbed: Climbed, capsys: pytest.CaptureFixture[str]) -> None:
    adapter = str(climbed.folder / "adapters" / "lora")
    assert cli.run(["evaluate", fresh, "--adapter", adapter, *ASKED]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert lines[0].startswith("classification, 60 rows")
    assert lines[1].split() == ["metric", "base", "adapter"]
    assert lines[2].split()[0] == "accuracy"
    (last,) = [line for line in lines if line.startswith("adapter minus base: ")]
    assert last.startswith("adapter minus base: +")
    assert "cannot be told apart" not in last


def test_two_that_are_the_same_are_said_to_be(
    fresh: str, capsys: pytest.CaptureFixture[str], climbed: Climbed
) -> None:
    assert cli.run(["evaluate", fresh, *ASKED, "--base", str(climbed.folder / "adapters" / "full")]) == 0
    out = capsys.readouterr().out
    assert "adapter" not in out


def test_json(fresh: str, climbed: Climbed, capsys: pytest.CaptureFixture[str]) -> None:
    adapter = str(climbed.folder / "adapters" / "lora")
    assert cli.run(["evaluate", fresh, "--adapter", adapter, "--json", "--max-test", "20", *ASKED]) == 0
    out, err = capsys.readouterr()
    value = json.loads(out)
    assert err == ""
    assert value["rows"] == 20
    assert (value["task"]["kind"], value["task_from"]) == ("classification", "adapter")
    assert value["warnings"] == []
    base, adapted = value["base"][0]["value"], value["adapter"][0]["value"]
    assert 0 <= base < 0.8  # of both, labels are picked by likelihood where the adapter's are
    assert adapted == 1.0
    assert value["difference"]["difference"]["value"] == pytest.approx(adapted - base)
    assert cli.run(["evaluate", fresh, "--json", *ASKED]) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["adapter"], value["difference"]) == (None, None)
    assert value["task_from"] == "guessed from 60 rows"


def test_no_such_adapter(fresh: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["evaluate", fresh, "--adapter", "nowhere", *ASKED]) == 4
    assert capsys.readouterr().err.endswith(
        "rung: nowhere: there is no such adapter folder. Check the path.\n"
    )


def test_an_adapter_of_another_base_is_named_on_the_screen_and_in_json(
    fresh: str, foreign: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", fresh, "--adapter", str(foreign), "--max-test", "10", *ASKED]
    assert cli.run(command) == 0
    err = capsys.readouterr().err
    assert "Task: classification, guessed from 60 rows\n" in err
    (note,) = [line for line in err.split("\n") if line.startswith("note: ")]
    assert "'/models/other'" in note
    assert "'tiny'" in note
    assert cli.run([*command, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out)["warnings"] == [note.removeprefix("note: ")]
