"""Base and adapter side by side."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import letters
from rung.errors import AdapterError, DataError
from rung.ladder.climb import Climbed
from rung.ladder.compare import evaluate
from rung.ladder.watch import Silent

ASKED = {"base": "tiny", "precision": "fp32", "threads": 1}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows no climb has seen."""
    return letters.write_csv(tmp_path_factory.mktemp("fresh") / "fresh.csv", 60, seed=9)


@pytest.fixture
def adapter(climbed: Climbed) -> Path:
    return climbed.folder / "adapters" / "lora"


def test_an_adapter_that_learned_is_told_from_the_base(fresh: Path, adapter: Path) -> None:
    found = evaluate(fresh, adapter, **ASKED)
    assert found.adapter is not None
    assert (found.base[0].name, found.base[0].value) == ("accuracy", 0.0)
    assert (found.adapter[0].name, found.adapter[0].value) == ("accuracy", 1.0)
    difference = found.difference
    assert difference is not None
    assert (difference.first, difference.second, difference.difference.value) == ("adapter", "base", 1.0)
    assert difference.distinguishable
    assert found.rows == len(found.answers) == 60
    assert all(after is not None and after.text == row.target for row, _, after in found.answers)


def test_the_base_alone(fresh: Path) -> None:
    heard = []

    class Ear(Silent):
        def begin(self, rung: str, phase: str) -> None:
            heard.append((rung, phase))

    found = evaluate(fresh, watcher=Ear(), **ASKED)
    assert (found.adapter, found.difference) == (None, None)
    assert all(after is None for _, _, after in found.answers)
    assert heard == [("base", "answering")]


def test_a_sample_is_taken_and_the_task_may_be_said(fresh: Path) -> None:
    found = evaluate(fresh, task="generation", max_test=10, max_new_tokens=3, **ASKED)
    assert (found.rows, found.task.kind, found.base[0].name) == (10, "generation", "rouge_l")
    assert max(before.tokens for _, before, _ in found.answers) <= 3


def test_rows_without_a_target_are_not_asked(tmp_path: Path) -> None:
    rows = [{"text": text, "label": label} for text, label in letters.rows(30)]
    rows[0]["label"] = " "
    assert evaluate(letters.write_jsonl(tmp_path / "x.jsonl", rows), **ASKED).rows == 29
    empty = letters.write_jsonl(tmp_path / "y.jsonl", [{**row, "label": ""} for row in rows])
    with pytest.raises(DataError, match=r"y\.jsonl: every target is empty"):
        evaluate(empty, **ASKED)


def test_an_adapter_of_another_template_is_refused(fresh: Path, adapter: Path, tmp_path: Path) -> None:
    other = shutil.copytree(adapter, tmp_path / "other")
    about = (other / "rung.json").read_text()
    start = about.index('"template_fingerprint": "') + len('"template_fingerprint": "')
    (other / "rung.json").write_text(about[:start] + "0" + about[start + 1 :])
    with pytest.raises(AdapterError, match="trained with another chat template"):
        evaluate(fresh, other, **ASKED)


def test_a_whole_model_is_not_an_adapter_and_the_way_out_is_said(fresh: Path, climbed: Climbed) -> None:
    folder = climbed.folder / "adapters" / "full"
    with pytest.raises(AdapterError, match=r"It holds a whole model\. Give it with --base"):
        evaluate(fresh, folder, **ASKED)
    found = evaluate(fresh, **ASKED | {"base": str(folder)})
    assert found.base[0].value == 1.0
