"""Tuning with one method is a climb of a single rung."""

from __future__ import annotations

from pathlib import Path

import pytest

import letters
from rung.errors import UsageError
from rung.ladder.tune import tune

QUICK = letters.FAST | {"epochs": 1}


def test_lora_is_the_default_and_leaves_an_adapter(letters_csv: Path, tmp_path: Path) -> None:
    climbed = tune(letters_csv, output=tmp_path / "run", **QUICK)
    (result,) = climbed.results
    assert (result.rung, result.method, result.status) == ("lora", "lora", "ok")
    assert (climbed.folder / "adapters" / "lora" / "adapter_model.safetensors").is_file()
    assert climbed.verdict.recommended == "lora"
    assert not climbed.verdict.conclusive


def test_the_method_of_a_config_file_is_used_and_a_flag_wins(letters_csv: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("method: full\n")
    full = tune(letters_csv, config, output=tmp_path / "full", **QUICK)
    assert [result.rung for result in full.results] == ["full"]
    assert (full.folder / "adapters" / "full" / "model.safetensors").is_file()
    lora = tune(letters_csv, config, output=tmp_path / "lora", method="lora", **QUICK)
    assert [result.rung for result in lora.results] == ["lora"]


def test_an_unknown_method_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown method 'lorra'\. Did you mean 'lora'.*Known: prompt"):
        tune(tmp_path / "x.csv", method="lorra")


def test_rungs_have_no_place_here(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("rungs: zero-shot\n")
    with pytest.raises(UsageError, match=r"c\.yaml: .*climbs one rung"):
        tune(tmp_path / "x.csv", config)
    with pytest.raises(UsageError, match="climbs one rung"):
        tune(tmp_path / "x.csv", rungs="lora")
