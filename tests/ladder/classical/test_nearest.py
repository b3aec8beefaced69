"""The answer of the most similar row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fuzz_readers import seal
from rows_of import rows, task_of
from rung.data import example_of
from rung.errors import ResumeError
from rung.ladder.classical import fitted, nearest
from rung.ladder.classical.nearest import Index
from rung.records import Message

KNOWN = rows(
    [
        ("how do I reset my password", "open settings"),
        ("the parcel never arrived", "ask the carrier"),
        ("赤い車が好きです", "red"),
        ("青い空が好きです", "blue"),
        ("the parcel was broken", "ask the carrier"),
    ]
)
NEW = rows([("I forgot the password", ""), ("赤い車", ""), ("my PARCEL is late", ""), ("qqq", ""), ("", "")])


def texts_of(responder: nearest.Nearest) -> list[str]:
    return [one.text for one in responder.answer(NEW)]


def test_the_most_similar_row_answers_and_the_commonest_where_none_is() -> None:
    responder = nearest.fit(task_of(KNOWN, "generation"), KNOWN[:4], KNOWN[4:]).responder
    assert texts_of(responder) == [
        "open settings",
        "red",
        "ask the carrier",
        "ask the carrier",
        "ask the carrier",
    ]
    answers = responder.answer(NEW)
    assert [one.example_id for one in answers] == [one.id for one in NEW]
    assert {one.tokens for one in answers} == {0}
    assert responder.score(NEW, ["red"]) is None


def test_answers_do_not_depend_on_the_other_rows_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    responder = nearest.fit(task_of(KNOWN, "generation"), KNOWN, ()).responder
    together = texts_of(responder)
    monkeypatch.setattr(nearest, "_BATCH", 2)
    assert texts_of(responder) == together
    assert [responder.answer([one])[0].text for one in NEW] == together


def test_similar_rows_in_their_order() -> None:
    index = Index.of([*KNOWN, KNOWN[1]])
    places, similarity = index.similar([KNOWN[1]], 3)
    assert places[0].tolist() == [1, 5, 4]
    assert similarity[0, :2] == pytest.approx(1, abs=1e-5)
    assert 0 < similarity[0, 2] < 1
    assert index.similar([KNOWN[0]], 100)[0].shape == (1, 6)
    assert index.similar([], 2)[0].shape == (0, 2)


def test_earlier_turns_count() -> None:
    def talk(first: str, target: str) -> list[Message]:
        return [Message("user", first), Message("assistant", "ok"), Message("user", "and now?"),
                Message("assistant", target)]  # fmt: skip

    known = [example_of(talk("paint it red", "red"), 1), example_of(talk("paint it blue", "blue"), 2)]
    responder = nearest.fit(task_of(known, "generation"), known, ()).responder
    assert responder.answer([example_of(talk("I want blue", "?"), 3)])[0].text == "blue"


def test_saved_it_answers_the_same(tmp_path: Path) -> None:
    responder = nearest.fit(task_of(KNOWN, "generation"), KNOWN, ()).responder
    responder.save(tmp_path / "nearest")
    assert nearest.load(tmp_path / "nearest").answer(NEW) == responder.answer(NEW)


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [("columns", 0, 10_000), ("columns", 0, -1), ("ends", 0, 9), ("ends", -1, -9), ("values", 0, np.nan)],
)
def test_places_outside_the_index_are_refused(tmp_path: Path, name: str, at: int, value: float) -> None:
    nearest.fit(task_of(KNOWN, "generation"), KNOWN, ()).responder.save(tmp_path / "nearest")
    arrays = load_file(tmp_path / "nearest" / fitted.WEIGHTS)
    arrays[name][at] = value
    save_file(arrays, tmp_path / "nearest" / fitted.WEIGHTS)
    seal(tmp_path / "nearest")
    with pytest.raises((ValueError, ResumeError)):
        nearest.load(tmp_path / "nearest")


def test_it_applies_to_every_task() -> None:
    assert nearest.applies(task_of(KNOWN, "generation"))
    assert nearest.KIND == "classical"
