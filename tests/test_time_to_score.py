"""The benchmark of time to a score: what it reads off the curves, against numbers worked out by hand."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("common", "time_to_score"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module("time_to_score")
    found = object.__new__(module.Bench)
    found.name, found.folder = "some", tmp_path
    found.module = module
    return found


def ran(bench: Any, job: str, *points: tuple[int, float], losses: tuple[float | None, ...] = ()) -> None:
    """A run with its looks (step, seconds), and their losses where they were scored."""
    looks = [{"step": step, "seconds": at, "cpu_seconds": at / 2} for step, at in points]
    (bench.folder / f"{job}.json").write_text(json.dumps({"points": looks}))
    file = bench.folder / "scores.json"
    scores = json.loads(file.read_text()) if file.exists() else {"base": {"loss": 9.0}}
    scores |= {
        f"{job}/step-{step}": {"loss": loss}
        for (step, _), loss in zip(points, losses, strict=False)
        if loss is not None
    }
    file.write_text(json.dumps(scores))


def eight(bench: Any) -> None:
    """The peer's runs: 10 s and 20 s each; one of them is best, at its second look of three."""
    for job, (part, _) in bench.module.peers().items():
        ran(bench, job, (1, 5.0 * part), (2, 10.0 * part), (3, 20.0 * part), losses=(None, None, 3.0))
    ran(bench, "peer-0.001-1", (1, 5.0), (2, 10.0), (3, 20.0), losses=(4.0, 2.0, 2.5))


def test_the_goal_is_the_best_look_and_the_first_of_ours_that_reaches_it_counts(bench: Any) -> None:
    eight(bench)
    ran(bench, "ours-top-half-0.5", (2, 3.0), (4, 4.0), (6, 5.0), losses=(2.1, 1.9, 1.0))
    ran(bench, "ours-all-layers-0.5", (2, 4.5), (4, 6.0), losses=(2.0, 1.9))
    found = bench.module.compare(bench)
    assert (found["goal"], found["peer"]["job"], found["peer"]["step"]) == (2.0, "peer-0.001-1", 2)
    assert (found["ours"]["job"], found["ours"]["step"]) == ("ours-top-half-0.5", 4)
    assert found["ratios"]["P15"] == {"seconds": 2.5, "cpu_seconds": 2.5}
    assert found["ratios"]["P13"] == {"seconds": None, "cpu_seconds": None}
    assert found["sweep"]["peer"]["seconds"] == 4 * 10 + 4 * 20


def test_repeats_replace_the_seconds_and_the_race_counts_with_its_training(bench: Any) -> None:
    eight(bench)
    ran(bench, "ours-top-half-0.5", (2, 3.0), (4, 4.0), losses=(2.1, 1.9))
    for repeat, seconds in enumerate((4.0, 2.0, 9.0)):
        ran(bench, f"repeat-{repeat}-ours-top-half-0.5", (2, 1.0), (4, seconds))
        ran(bench, f"repeat-{repeat}-peer-0.001-1", (1, 1.0), (2, 16.0 + repeat), (3, 40.0))
    ran(bench, "race", (1, 8.0))
    file = bench.folder / "race.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"won": {"rate": 1e-3}}))
    ran(bench, "race-training", (2, 2.0), (4, 4.0), losses=(3.0, 2.0))
    found = bench.module.compare(bench)
    assert (found["ours"]["seconds"], found["peer"]["seconds"]) == (4.0, 17.0)
    assert found["ratios"]["P15"]["seconds"] == 4.25
    assert found["sweep"]["ours"] == {"seconds": 12.0, "cpu_seconds": 6.0}
    assert found["ratios"]["P13"]["seconds"] == 10.0


def test_a_goal_that_nobody_of_ours_reaches_is_none(bench: Any) -> None:
    eight(bench)
    ran(bench, "ours-all-layers-1", (2, 3.0), losses=(2.01,))
    found = bench.module.compare(bench)
    assert found["ours"] == {"job": None}
    assert found["ratios"]["P15"]["seconds"] is None


def test_the_table_counts_data_sets_that_reach_the_target(bench: Any) -> None:
    eight(bench)
    ran(bench, "ours-top-half-0.5", (2, 1.0), (4, 4.0), losses=(1.5, 1.9))
    ran(bench, "race", (1, 8.0))
    file = bench.folder / "race.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"won": {"rate": 1e-3}}))
    ran(bench, "race-training", (4, 4.0), losses=(3.0,))
    one = {"rows": 100, "tokens": 6000, **bench.module.compare(bench)}
    record = {
        "title": "Time to a score on dev",
        "date": "2026-11-30",
        "machine": {"processor": "a CPU"},
        "peer": {"rates": bench.module.RATES, "step_rows": 4},
        "targets": bench.module.WANTED,
        "sets": {"some": one},
    }
    lines = bench.module.table(record).splitlines()
    head, row = lines[2], lines[4]
    assert head.count("|") == row.count("|") == lines[3].count("|")
    assert "| 0.001-1, step 2 | 10.0 | 1.0 | 10.0x (10.0x) | top-half-0.5, 1.500 |" in row
    assert row.endswith("| 120 | not reached | - |")
    assert lines[-2:] == [
        "- to the peer's best score: at least 5 times as fast on 1 of 1 data sets",
        "- of a sweep of eight: at least 10 times as fast on 0 of 1 data sets",
    ]


def test_time_at_looks_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    measure: ModuleType = importlib.import_module("peers.measure")
    assert measure.spread(25, 4) == [6, 12, 19, 25]
    assert measure.spread(2, 4) == [1, 2]
    kept: list[int] = []

    def keep(step: int) -> None:
        kept.append(step)
        time.sleep(0.3)

    looks = measure.Looks([1, 3], keep)
    with pytest.raises(RuntimeError, match="before training began"):
        looks.step(1)
    looks.begin()
    for step in (1, 2, 3):
        time.sleep(0.01)
        looks.begin()  # changes nothing
        looks.step(step)
    assert kept == [1, 3]
    assert 0.01 <= looks.points[0]["seconds"] < looks.points[1]["seconds"] < 0.3
