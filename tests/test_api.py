"""What `import rung` offers."""

from __future__ import annotations

from pathlib import Path

import pyarrow
import pytest

import letters
import rung
from rung.ladder import climb as climbing
from rung.ladder import compare as comparing

ASKED = {"base": "tiny", "precision": "fp32", "threads": 1}
ROWS = [{"word": text, "letter": label} for text, label in letters.rows(60)]


@pytest.fixture(autouse=True)
def _own_cache(own_cache: Path) -> None: ...


@pytest.fixture
def frame() -> pyarrow.Table:
    """Rows under the names that `text-label` reads."""
    return pyarrow.Table.from_pylist([{"text": row["word"], "label": row["letter"]} for row in ROWS])


def test_a_climb_of_rows_in_memory_shows_itself(
    frame: pyarrow.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    climbed = rung.climb(frame, **letters.FAST | {"rungs": "zero-shot"})
    assert isinstance(climbed, climbing.Climbed)
    assert climbed.folder.name.startswith("data-")
    assert (climbed.folder / "report.html").is_file()
    shown = climbed._repr_html_()
    assert "zero-shot" in shown
    assert climbed.verdict.sentence in shown
    assert "<iframe" in shown
    assert repr(climbed).startswith(f"<climb in {climbed.folder}: ")


def test_a_tuned_adapter_is_measured_on_other_rows(frame: pyarrow.Table, tmp_path: Path) -> None:
    settings = letters.FAST | {"epochs": 1, "output": tmp_path / "run"}
    tuned = rung.tune(frame, test=frame.to_pylist()[:12], **settings)
    assert [result.rung for result in tuned.results] == ["lora"]
    assert tuned.info.data["test_file"] == "test"
    adapter = tuned.folder / "adapters" / "lora"
    found = rung.evaluate(frame, adapter, max_test=10, **ASKED)
    assert isinstance(found, comparing.Evaluated)
    assert (found.task_from, found.rows) == ("adapter", 10)
    assert found.table.head == ("metric", "base", "adapter")
    assert found.table.rows[0][0] == "accuracy"
    assert "classification, 10 rows" in found._repr_html_()


def test_a_climb_is_loaded_to_answer_new_rows(frame: pyarrow.Table, tmp_path: Path) -> None:
    climbed = rung.climb(frame, **letters.FAST | {"rungs": "words", "output": tmp_path / "run"})
    loaded = rung.load(climbed.folder, "words")
    assert repr(loaded).startswith(f"<words of {climbed.folder}: classification, accuracy ")
    one, two = loaded.answer(["mmamm", {"text": "mmbmm"}])
    assert (one.text, two.text) == ("a", "b")
    assert one.probability is not None
    assert one.probability > 0.5


def test_the_base_alone_is_one_column(frame: pyarrow.Table) -> None:
    found = rung.evaluate(frame.slice(0, 8), task="generation", max_new_tokens=2, **ASKED)
    assert found.table.head == ("metric", "base")
    assert "&lt;" not in found._repr_html_()
    assert found._repr_html_().startswith("<p>generation, 8 rows")
