"""The benchmark of a whole decision: the same rows for both sides, and what the table says of them."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("common", "whole_decision"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "work", SimpleNamespace(model_folder=lambda: "the-base"))
    module = importlib.import_module("whole_decision")
    data = tmp_path / "data.csv"
    with data.open("w", newline="") as file:
        csv.writer(file).writerows([["text", "label"], *([f"row, {i}", "ab"[i % 2]] for i in range(20))])
    monkeypatch.setattr(module, "SETS", {"some": data})
    monkeypatch.setattr(module, "FOLDER", tmp_path / "work")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return module


def test_both_sides_get_the_same_rows(whole: ModuleType) -> None:
    decision = whole.Decision("some", 15, "bf16", 1.0)
    decision.write()
    texts = {}
    for part, count in (("train", 12), ("test", 3)):
        with (decision.folder / f"{part}.csv").open(newline="") as file:
            ours = list(csv.DictReader(file))
        theirs = [json.loads(line) for line in (decision.folder / f"{part}.jsonl").read_text().splitlines()]
        assert len(ours) == len(theirs) == count
        for a, b in zip(ours, theirs, strict=True):
            assert b["prompt"][0]["content"].endswith(a["text"])
            assert b["completion"][0]["content"] == b["label"] == a["label"]
        texts[part] = {one["text"] for one in ours}
    assert not texts["train"] & texts["test"]
    task = json.loads((decision.folder / "tasks" / "decision.yaml").read_text())
    assert task["doc_to_choice"] == ["a", "b"]


def test_the_chain_trains_before_it_scores_what_was_trained(whole: ModuleType) -> None:
    steps = dict(whole.Decision("some", 15, "bf16", 1.0).steps())
    assert [*steps] == ["rung", "zero-shot", "few-shot", "lora, training", "lora", "full, training", "full"]
    settings = json.loads(Path(steps["full, training"][-1]).read_text())
    assert settings["method"] == "full"
    assert settings["learning_rate"] == whole.FULL_RATE
    assert f"pretrained={settings['left']}," in " ".join(steps["full"])
    assert "pretrained=the-base,dtype=bfloat16,peft=" in " ".join(steps["lora"])
    assert steps["few-shot"][steps["few-shot"].index("--num_fewshot") + 1] == str(whole.SHOTS)


def test_the_table_adds_training_to_the_rung_it_belongs_to(whole: ModuleType) -> None:
    rungs = {rung: {"status": "ok", "value": 0.5, "seconds": 10.0} for rung in whole.RUNGS}
    steps = {rung: {"seconds": 20.0, "accuracy": 0.25} for rung in whole.RUNGS}
    steps |= {f"{rung}, training": {"seconds": 100.0, "accuracy": None} for rung in ("lora", "full")}
    one = {
        "train_rows": 800,
        "test_rows": 200,
        "rung": {"seconds": 70.0, "rungs": rungs},
        "chain": {"seconds": 280.0, "steps": steps},
        "ratio": {"seconds": 4.0, "cpu_seconds": 3.5},
    }
    record = {
        "title": "A whole decision",
        "date": "2026-11-30",
        "machine": {"processor": "a CPU"},
        "versions": {"trl": "1"},
        "sets": {"some": one},
    }
    ours, theirs = whole.table(record).splitlines()[-2:]
    assert ours == f"| some | 800, 200 | rung {4 * '| 10 s, 50.0% '}| 70 s | 4.0x (3.5x) |"
    assert theirs == (
        "| | | lm_eval, TRL | 20 s, 25.0% | 20 s, 25.0% | 120 s, 25.0% | 120 s, 25.0% | 280 s | |"
    )
