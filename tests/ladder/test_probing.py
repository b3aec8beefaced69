"""What a probe reads, what it chooses, and that it answers the same again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import letters
from rung.config import make_settings
from rung.generate import states
from rung.ladder import probing
from rung.ladder.classical import regression
from rung.ladder.prepare import Prepared, prepare
from rung.ladder.understood import understand_data
from rung.ladder.watch import Silent


@pytest.fixture(scope="module")
def data(letters_csv: Path) -> Prepared:
    settings = make_settings(letters.FAST)
    return prepare(understand_data(letters_csv, settings), settings)


def test_own_tokens_are_what_rows_do_not_share() -> None:
    reading = probing.Reading("the row as it is", before=3, after=2)
    assert reading.own(range(10)) == (3, 8)
    assert reading.own(range(4)) == (3, 4)  # at least one
    assert reading.own(range(1)) == (0, 1)


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
    assert (probing._ridge(noise, truth, 3, folds).argmax(1) == truth).mean() < 0.55
    told = noise + 2 * np.eye(3)[truth] @ rng.normal(size=(3, 40))
    assert (probing._ridge(told.astype(np.float32), truth, 3, folds).argmax(1) == truth).mean() > 0.9


def test_the_same_rows_are_read_once(data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = [*data.split.train, *data.split.dev]
    first = probing.fit(data, known, tmp_path, Silent())
    monkeypatch.setattr(states, "read", lambda *_: pytest.fail("read again"))
    second = probing.fit(data, known, tmp_path, Silent())
    assert second.choices == first.choices
    assert np.array_equal(first.responder.weights, second.responder.weights)


def test_more_rows_than_choices_are_made_on(
    data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [*data.split.train, *data.split.dev]
    monkeypatch.setattr(regression, "_CHOOSING_ROWS", 30)
    fitted = probing.fit(data, known, tmp_path, Silent())
    assert any("were chosen on 30 of" in note for note in fitted.notes)
    answers = fitted.responder.answer(data.split.test)
    assert [one.text in data.task.labels for one in answers] == [True] * len(data.split.test)


def test_few_rows_choose_nothing(data: Prepared, tmp_path: Path) -> None:
    fitted = probing.fit(data, data.split.train[:6], tmp_path, Silent())
    assert fitted.choices == ()
    assert fitted.notes[0].startswith("too few rows to choose layer and C")


def test_what_was_saved_answers_the_same(data: Prepared, tmp_path: Path) -> None:
    probe = probing.fit(data, [*data.split.train, *data.split.dev], tmp_path / "cache", Silent()).responder
    probe.save(tmp_path / "answer")
    again = probing.load(tmp_path / "answer")
    some = data.split.test
    assert [one.text for one in again.answer(some)] == [one.text for one in probe.answer(some)]
    scores = probe.score(some, data.task.labels)
    assert scores == pytest.approx(again.score(some, data.task.labels), abs=1e-4)
    assert np.exp(scores).sum(1) == pytest.approx(1, abs=1e-6)
