"""A probe for several labels a row: it learns on hidden states and answers the same again."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest

import letters
from rung.config import make_settings
from rung.evaluation.metrics import METRICS, grade
from rung.ladder import probing, set_probing
from rung.ladder.features import Features
from rung.ladder.prepare import Prepared, prepare
from rung.ladder.understood import understand_data
from rung.ladder.watch import Silent


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    rng = random.Random(0)
    path = tmp_path_factory.mktemp("sets") / "letters.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "topics"])
        for i in range(120):
            held = rng.sample("abc", rng.randint(1, 2))
            word = [*rng.choices("mnrst", k=3), *held]
            rng.shuffle(word)
            table.writerow([f"{''.join(word)} {i}", "; ".join(held)])
    settings = make_settings(letters.FAST)
    return prepare(understand_data(path, settings), settings)


def test_it_beats_the_best_constant_and_keeps_what_it_learned(data: Prepared, tmp_path: Path) -> None:
    assert data.task.kind == "multi_label"
    known = [*data.split.train, *data.split.dev]
    found = set_probing.fit(data, Features(data.speaker, data.task, tmp_path / "f"), known, Silent())
    rows = data.split.test
    answers = found.responder.answer(rows)
    scores = [grade(data.task, row, one) for row, one in zip(rows, answers, strict=True)]
    metric = METRICS["micro_f1"]
    value = float(metric.value(metric.rows(data.task, rows, scores, [one.text for one in answers]).sum(0)))
    assert value > 0.75  # all three labels for every row: 2 * 1.5 / (1.5 + 3) = 0.67
    assert [choice.name for choice in found.choices] == ["reading", "C", "threshold"]
    found.responder.save(tmp_path / "saved")
    again = set_probing.load(tmp_path / "saved")
    assert [one.text for one in again.answer(rows)] == [one.text for one in answers]


def test_few_rows_choose_nothing(data: Prepared, tmp_path: Path) -> None:
    known = data.split.train[:6]
    found = set_probing.fit(data, Features(data.speaker, data.task, tmp_path / "f"), known, Silent())
    assert found.choices == ()
    assert "too few rows" in found.notes[0]


def test_single_labels_are_left_to_the_usual_probe(prepared: Prepared, tmp_path: Path) -> None:
    known = prepared.split.train[:30]
    found = set_probing.fit(
        prepared, Features(prepared.speaker, prepared.task, tmp_path / "f"), known, Silent()
    )
    assert isinstance(found.responder, probing.Probe)
    found.responder.save(tmp_path / "saved")
    assert isinstance(set_probing.load(tmp_path / "saved"), probing.Probe)
