"""A model that is asked with passages, saved and loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rows_of import rows, task_of
from rung import storage
from rung.compute.load import tiny
from rung.data.passages import passage
from rung.data.templates import Renderer
from rung.errors import ResumeError
from rung.ladder import reader
from rung.ladder.library import Library
from rung.ladder.reader import Lookup, Reader
from rung.ladder.responder import Responder, Scores
from rung.ladder.watch import Watcher
from rung.records import Completion, Example

TASK = task_of(rows([("q", "a")]), "knowledge")
ROWS = rows([("When is tea?", "four"), ("zebra", "none")])


class Echo(Responder):
    """Answers with what it is asked."""

    def answer(self, examples: Sequence[Example], watcher: Watcher | None = None) -> list[Completion]:
        return [Completion(one.id, one.prompt[-1].content, 0) for one in examples]

    def score(self, examples: Sequence[Example], choices: Sequence[str]) -> Scores | None:
        return np.array([[float(len(one.prompt[-1].content)) for _ in choices] for one in examples])

    def tokens(self, choices: Sequence[str]) -> list[int] | None:
        return [len(choice) for choice in choices]

    def save(self, folder: Path) -> None:
        storage.write_folder(folder, {"echo.json": b"{}"})


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(tiny().tokenizer)


def made(renderer: Renderer, folder: Path, room: int = 2000) -> Reader:
    known = Library((passage("Tea is at four."), passage("tea tea and more tea")), folder / "documents.jsonl")
    known.save()
    return Reader(Echo(), Lookup(renderer, TASK, known, 2, room))


def test_the_model_is_asked_with_passages_where_some_are_like_the_row(
    renderer: Renderer, tmp_path: Path
) -> None:
    one = made(renderer, tmp_path)
    first, second = [answer.text for answer in one.answer(ROWS)]
    assert "Tea is at four." in first
    assert first.endswith("Question: When is tea?")
    assert second == "zebra"
    scores = one.score(ROWS, ["a", "b"])
    assert scores is not None
    assert scores.tolist() == [[len(first)] * 2, [len(second)] * 2]
    assert one.tokens(["a", "bcd"]) == [1, 3]
    answers, both = one.answer_and_score(ROWS, ["a", "b"])
    assert [answer.text for answer in answers] == [first, second]
    assert both is not None
    assert [answer.example_id for answer in answers] == [row.id for row in ROWS]


def test_as_many_as_there_is_room_for(renderer: Renderer, tmp_path: Path) -> None:
    whole = made(renderer, tmp_path).lookup.shown(ROWS[:1])[0]
    room = len(renderer.prompt_ids(whole.prompt)) - 1
    (cut,) = made(renderer, tmp_path, room).lookup.shown(ROWS[:1])
    text = cut.prompt[-1].content
    assert ("Tea is at four." in text) != ("tea tea and more tea" in text)
    (none,) = made(renderer, tmp_path, 3).lookup.shown(ROWS[:1])
    assert none is ROWS[0]


def test_only_the_answers_of_a_tuned_model_are_loaded(renderer: Renderer, tmp_path: Path) -> None:
    one = made(renderer, tmp_path)
    one.save(tmp_path / "answer" / "x")
    value = storage.read_json(tmp_path / "answer" / "x" / reader.FILE)
    assert value["library"]["file"] == "../../documents.jsonl"
    assert (value["passages"], value["room"]) == (2, 2000)
    (tmp_path / "documents.jsonl").unlink()
    with pytest.raises(ResumeError, match="is missing"):
        reader.load(tmp_path / "answer" / "x")
