"""Examples that are like the row: from train alone, without the row itself, the same after loading."""

from __future__ import annotations

from pathlib import Path

import pytest

from rows_of import rows, task_of
from rung.errors import ResumeError
from rung.ladder import retrieval
from rung.ladder.features import Features
from rung.ladder.prepare import Prepared
from rung.ladder.retrieval import Pool

TRAIN = rows(
    [
        ("the parcel never arrived", "carrier"),
        ("how do I reset my password", "settings"),
        ("the parcel was broken", "claims"),
        ("I forgot my password again", "settings"),
        ("The parcel  never arrived", "repeated"),
        ("no answer here", " "),
    ]
)


def targets(pool: Pool, text: str, k: int) -> list[str]:
    (found,) = pool.like(rows([(text, "")]), k)
    return [row.target for row in found]


def test_the_most_similar_row_comes_last() -> None:
    pool = Pool.of(TRAIN)
    assert targets(pool, "where is my parcel, it never arrived", 2) == ["claims", "carrier"]
    assert targets(pool, "password reset", 1) == ["settings"]


def test_the_row_itself_and_its_repetitions_are_not_shown() -> None:
    pool = Pool.of(TRAIN)
    assert targets(pool, "the PARCEL never arrived", 1) == ["claims"]
    assert len(targets(pool, "the parcel never arrived", 50)) == 3


def test_the_pool_is_train_rows_with_an_answer_and_other_prompts() -> None:
    pool = Pool.of(TRAIN)
    assert pool.rows == tuple(TRAIN[:4])
    assert len(targets(pool, "anything", 50)) == 4


@pytest.mark.parametrize("states", [False, True])
def test_it_finds_the_same_after_loading(prepared: Prepared, tmp_path: Path, states: bool) -> None:
    speaker, task = prepared.speaker, task_of(TRAIN[:3], "classification")
    features = Features(speaker, task, tmp_path / "features")
    pool = Pool.by_states(TRAIN, features) if states else Pool.of(TRAIN)
    pool.save(tmp_path / "pool")
    loaded = retrieval.load(tmp_path / "pool", speaker, task)
    assert loaded.rows == pool.rows
    asked = rows([(text, "") for text in ("a parcel", "my password", "", "arrived")])
    assert loaded.like(asked, 3) == pool.like(asked, 3)
    (tmp_path / "pool" / "responder.json").write_text("{}")
    with pytest.raises(ResumeError):
        retrieval.load(tmp_path / "pool", speaker, task)
