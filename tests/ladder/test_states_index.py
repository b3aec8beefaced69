"""Known rows by hidden states: the cosine of centred states, the same kept, fresh and loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rung.ladder.features import Features, fresh
from rung.ladder.prepare import Prepared
from rung.ladder.probing import layers_of
from rung.ladder.states_index import StatesIndex, reading_of


@pytest.fixture
def index(prepared: Prepared, tmp_path: Path) -> StatesIndex:
    return StatesIndex.of(Features(prepared.speaker, prepared.task, tmp_path), prepared.split.train[:30])


def test_similar_rows_have_states_in_the_same_direction(prepared: Prepared, index: StatesIndex) -> None:
    known, asked = prepared.split.train[:30], prepared.split.test[:5]
    places, similarity = index.similar(asked, 4)
    a, b = (fresh(prepared.speaker, prepared.task, rows, index.reading)[0] for rows in (asked, known))
    a, b = a - b.mean(0), b - b.mean(0)
    cosine = (a @ b.T) / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    assert similarity == pytest.approx(-np.sort(-cosine, axis=1)[:, :4], abs=1e-5)
    assert np.take_along_axis(cosine, places, axis=1) == pytest.approx(similarity, abs=1e-5)


def test_a_known_row_is_most_like_itself(prepared: Prepared, index: StatesIndex) -> None:
    places, similarity = index.similar(prepared.split.train[:30], 1)
    assert places[:, 0].tolist() == list(range(30))
    assert similarity == pytest.approx(1.0, abs=1e-5)
    assert index.similar([], 3)[0].shape == (0, 3)
    assert index.similar(prepared.split.test[:2], 99)[0].shape == (2, 30)


def test_it_is_the_same_after_reading_what_was_written(prepared: Prepared, index: StatesIndex) -> None:
    again = StatesIndex.read(index.as_json(), index.arrays(), prepared.speaker, prepared.task)
    for found, wanted in zip(
        again.similar(prepared.split.test, 3), index.similar(prepared.split.test, 3), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("depth", [1, 2, 4, 30])
def test_the_layer_is_one_that_a_probe_reads(depth: int) -> None:
    assert reading_of(depth).layer in layers_of(depth)
