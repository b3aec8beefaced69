"""The benchmark of time to a score, rung's side, on the tiny base: rows, training, race and scorer."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
ROWS = 160


@pytest.fixture
def curves(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("common", "ours", "curves"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return importlib.import_module("curves")


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    data = tmp_path / "data.csv"
    with data.open("w", newline="") as file:
        rows = [
            [f"parcel number {i} is {'late' if i % 2 else 'here'}", ("here", "late")[i % 2]]
            for i in range(ROWS)
        ]
        csv.writer(file).writerows([["text", "label"], *rows])
    return {
        "base": "tiny",
        "dtype": "fp32",
        "folder": str(tmp_path / "work"),
        "data": str(data),
        "test": None,
        "tokens": 1500,
        "dev_rows": 8,
    }


def test_rows_training_race_and_scores(curves: ModuleType, settings: dict[str, Any], tmp_path: Path) -> None:
    about = curves.rows(settings)
    lines = (tmp_path / "work" / "train.jsonl").read_text().splitlines()
    assert len(lines) == about["rows"] + curves.WARM
    assert sum(len(json.loads(line)["ids"]) for line in lines[: about["rows"]]) == about["tokens"] >= 1500
    assert sorted(about["labels"]) == ["here", "late"]

    base = curves.load("tiny")
    s = settings | {"rows": about["rows"], "learning_rate": 1e-2, "top_layers": 0.5, "looks": 3, "keep": True}
    trained = curves.train(base, s | {"adapters": str(tmp_path / "left")})
    assert trained["count"] == about["tokens"]
    steps = [point["step"] for point in trained["points"]]
    assert len(steps) == 3
    times = [point["seconds"] for point in trained["points"]]
    assert 0 < times[0] < times[1] < times[2] == trained["seconds"]

    folders = {str(step): str(tmp_path / "left" / f"step-{step}") for step in steps}
    scores = curves.score(base, s | {"adapters": {"base": "", **folders}, "labels": True})["scores"]
    assert scores[str(steps[-1])]["loss"] < scores["base"]["loss"]
    assert 0 <= scores["base"]["accuracy"] <= 1
    alone = curves.score(base, s | {"adapters": {"base": ""}, "labels": False})["scores"]
    assert alone["base"] == {"loss": scores["base"]["loss"]}  # nothing stays attached

    raced = curves.race(base, s | {"keep": False})
    first = about["rows"] // curves.SHARE
    assert [one["rows"] for one in raced["ran"]] == [first] * 8 + [first] * 4 + [2 * first] * 2
    assert raced["won"]["rate"] in {times * curves.LORA.learning_rate for times in curves.RATES}
    assert (raced["won"]["share"] is None) == (raced["won"]["top_layers"] is None)
