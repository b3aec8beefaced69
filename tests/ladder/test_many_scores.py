"""The adapter for all, on the rows of each file."""

from __future__ import annotations

from pathlib import Path

from rung.ladder.many_scores import Scored, score
from rung.ladder.watch import Silent
from rung.records import Answer, Measure, Result, to_json
from rung.storage import write_json


def mixed(status: str = "ok") -> Result:
    return Result("lora", "lora", status, 1, "tiny", "", finished="today")  # type: ignore[arg-type]


def test_without_an_adapter_there_are_no_scores(tmp_path: Path) -> None:
    assert score(tmp_path, ["a"], "lora", mixed("skipped"), Silent()) == {}
    assert score(tmp_path, ["a"], "lora", mixed(), Silent()) == {}


def test_scores_of_the_same_adapter_are_read(tmp_path: Path) -> None:
    (tmp_path / "all" / "adapters" / "lora").mkdir(parents=True)
    answers = (Answer("x", "text", "ok", "text", {"rouge_l": 1.0}),)
    kept = Scored("today", answers, (), (Measure("rouge_l", 1.0),), {"b": 0.5})
    (tmp_path / "all" / "scores").mkdir()
    write_json(tmp_path / "all" / "scores" / "a.json", to_json(kept))
    assert score(tmp_path, ["a"], "lora", mixed(), Silent()) == {"a": kept}
