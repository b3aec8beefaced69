"""`rung tune`: one method, one adapter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import letters
from rung import cli

QUICK = letters.flags(**{k: v for k, v in letters.FAST.items() if k != "shots"} | {"epochs": 1})


def test_it_says_where_the_adapter_is(
    letters_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert cli.run(["tune", str(letters_csv), "--output", str(run), *QUICK]) == 0
    out = capsys.readouterr().out
    folder = run / "adapters" / "lora"
    assert f"Adapter: {folder}" in out
    assert (folder / "adapter_config.json").is_file()


def test_another_method_as_json(
    letters_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    arguments = ["tune", str(letters_csv), "--output", str(run), "--method", "full", "--json", *QUICK]
    assert cli.run(arguments) == 0
    out, err = capsys.readouterr()
    assert [result["method"] for result in json.loads(out)["results"]] == ["full"]
    assert err == ""
    assert (run / "adapters" / "full" / "model.safetensors").is_file()


def test_an_unknown_method(letters_csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["tune", str(letters_csv), "--base", "tiny", "--method", "lorra"]) == 2
    assert "unknown method 'lorra'. Did you mean 'lora'?" in capsys.readouterr().err
