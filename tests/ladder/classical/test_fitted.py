"""Grading of answers to known rows, and the files of a responder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rows_of import of_targets, task_of
from rung.errors import DataError, ResumeError
from rung.evaluation.metrics import measures
from rung.ladder.classical import fitted


def test_the_value_is_that_of_the_metrics() -> None:
    examples = of_targets("red", "red", "blue", times=10)
    task = task_of(examples)
    answers = ["red"] * len(examples)
    found = fitted.graded(task, examples, answers)
    for measure in measures(task, examples, found.scores, answers):
        assert measure.value == pytest.approx(found.value(measure.name))


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_a_weight_stands_for_rows(metric: str) -> None:
    examples = of_targets("red", "red", "blue", times=10)
    task = task_of(examples)
    all_rows = fitted.graded(task, examples, ["red"] * 30)
    two_rows = fitted.graded(task, [examples[0], examples[2]], ["red"] * 2, [20, 10])
    assert two_rows.value(metric) == pytest.approx(all_rows.value(metric))


def test_rows_that_cannot_be_graded_are_left_out() -> None:
    examples = of_targets('{"a": 1}', '{"a": 2}', "no object", times=4)
    task = task_of(examples, "extraction")
    found = fitted.graded(task, examples, ['{"a": 1}'] * 12)
    assert len(found.examples) == 8
    assert found.value("exact_match") == 0.5
    assert fitted.graded(task, [], []).value("exact_match") == -np.inf


def test_files_are_read_back(tmp_path: Path) -> None:
    fitted.save(tmp_path / "x", "words", {"labels": ["é"]}, {"weights": np.eye(2, dtype=np.float32).T})
    settings, arrays = fitted.load(tmp_path / "x", "words")
    assert settings["labels"] == ["é"]
    assert arrays["weights"].tolist() == [[1, 0], [0, 1]]
    assert not list((tmp_path / "x").glob("*.pkl"))


def test_files_of_another_rung_and_changed_files_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    fitted.save(folder, "words", {})
    with pytest.raises(DataError, match="holds the rung 'words', not 'nearest'"):
        fitted.load(folder, "nearest")
    (folder / fitted.SETTINGS).write_text("{}")
    with pytest.raises(ResumeError, match=r"responder\.json is missing or was changed"):
        fitted.load(folder, "words")
