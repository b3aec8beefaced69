"""What a probe chooses, and that it answers the same again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rung.ladder import probing
from rung.ladder.classical import regression
from rung.ladder.classical.fitted import Fitted
from rung.ladder.features import SHOWN, Features, tokens_of
from rung.ladder.prepare import Prepared
from rung.ladder.watch import Silent
from rung.records import Example


def fit(data: Prepared, known: list[Example], folder: Path) -> Fitted[probing.Probe]:
    return probing.fit(data, Features(data.speaker, data.task, folder), known, Silent())


@pytest.fixture
def known(prepared: Prepared) -> list[Example]:
    return [*prepared.split.train, *prepared.split.dev]


@pytest.mark.parametrize("depth", [1, 2, 8, 30])
def test_layers_are_spread_up_to_the_last(depth: int) -> None:
    layers = probing.layers_of(depth)
    assert layers[-1] == depth
    assert layers[0] >= 1
    assert len(layers) == len(set(layers)) <= probing.LAYERS


def test_ridge_judges_rows_that_were_left_out() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 90)
    noise = rng.normal(size=(90, 40)).astype(np.float32)
    folds = np.arange(90) % 3
    assert (probing.ridge(noise, np.eye(3)[truth], folds).argmax(1) == truth).mean() < 0.55
    shifted = noise + 2 * np.eye(3)[truth] @ rng.normal(size=(3, 40))
    assert (
        probing.ridge(shifted.astype(np.float32), np.eye(3)[truth], folds).argmax(1) == truth
    ).mean() > 0.9


@pytest.mark.parametrize("columns", [8, 40])  # fewer than rows, and more
def test_ridge_in_rows_and_in_columns_is_the_same(columns: int) -> None:
    rng = np.random.default_rng(1)
    truth, folds = rng.integers(0, 3, 30), np.arange(30) % 3
    matrix = rng.normal(size=(30, columns)).astype(np.float32)
    z = probing.standardised(matrix)[0].astype(np.float64)
    wanted = np.zeros((30, 3))
    for fold in range(3):
        out = folds == fold
        y = np.eye(3)[truth[~out]]
        square = z[~out].T @ z[~out] + probing.RIDGE * np.eye(columns)
        wanted[out] = y.mean(0) + z[out] @ np.linalg.solve(square, z[~out].T @ (y - y.mean(0)))
    assert probing.ridge(matrix, np.eye(3)[truth], folds) == pytest.approx(wanted, abs=1e-5)


def test_more_rows_than_choices_are_made_on(
    prepared: Prepared, known: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regression, "_CHOOSING_ROWS", 30)
    fitted = fit(prepared, known, tmp_path)
    assert any("were chosen on 30 of" in note for note in fitted.notes)
    answers = fitted.responder.answer(prepared.split.test)
    assert [one.text in prepared.task.labels for one in answers] == [True] * len(prepared.split.test)


def test_the_instruction_is_left_out_where_it_leaves_no_room(prepared: Prepared) -> None:
    assert probing.ways_of(prepared) == list(SHOWN)
    longest = max(row.answer_start for row in prepared.rendered.values())
    assert probing.ways_of(replace(prepared, max_length=longest + 3)) == ["the row as it is"]


def test_few_rows_choose_nothing(prepared: Prepared, tmp_path: Path) -> None:
    fitted = fit(prepared, list(prepared.split.train[:6]), tmp_path)
    assert fitted.choices == ()
    assert fitted.notes[0].startswith("too few rows to choose layer and C")


def test_a_label_with_one_row_and_rows_of_one_label(prepared: Prepared, tmp_path: Path) -> None:
    def named(label: str) -> list[Example]:
        return [one for one in prepared.split.train if one.target == label]

    fitted = fit(prepared, [*named("a")[:20], named("b")[0]], tmp_path)
    assert fitted.responder.labels == ("a", "b")
    alone = fit(prepared, named("a")[:20], tmp_path).responder
    assert {one.text for one in alone.answer(prepared.split.test)} == {"a"}


def test_what_was_saved_answers_the_same(prepared: Prepared, known: list[Example], tmp_path: Path) -> None:
    probe = fit(prepared, known, tmp_path / "cache").responder
    probe.save(tmp_path / "answer")
    again = probing.load(tmp_path / "answer")
    some = prepared.split.test
    assert again.reading == probe.reading
    assert probe.reading.shown in SHOWN
    assert [one.text for one in again.answer(some)] == [one.text for one in probe.answer(some)]
    shown = tokens_of(prepared.speaker, prepared.task, some, probe.reading.shown)
    assert [one.read for one in probe.answer(some)] == [len(row.ids) for row in shown]
    scores = probe.score(some, prepared.task.labels)
    assert scores == pytest.approx(again.score(some, prepared.task.labels), abs=1e-4)
    assert np.exp(scores).sum(1) == pytest.approx(1, abs=1e-6)
