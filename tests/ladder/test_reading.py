"""Rows with passages: what a model that is tuned with retrieval is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import letters
import shelf
from contexts import SLOW, context_of
from rung.config import make_settings
from rung.data.passages import read_documents, shown
from rung.ladder.context import Context
from rung.ladder.library import Library
from rung.ladder.prepare import Prepared, prepare
from rung.ladder.reading import (
    all_tokens,
    longest_prompt,
    number_of,
    reading_context,
    shortest,
    shown_of,
    tokens_of,
    with_recall,
)
from rung.ladder.responder import Responder
from rung.ladder.rungs import Outcome
from rung.ladder.understood import understand_data

FAST = letters.FAST | {"epochs": 1, "wrong_passages": 0.25}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return shelf.write(tmp_path_factory.mktemp("shelf"))


@pytest.fixture(scope="module")
def asked(files: tuple[Path, Path]) -> Prepared:
    settings = make_settings(FAST | {"documents": str(files[1])})
    return prepare(understand_data(files[0], settings), settings)


@pytest.fixture
def context(asked: Prepared, tmp_path: Path) -> Context:
    assert asked.documents is not None
    return context_of(asked, tmp_path, library=Library.of(asked.documents, tmp_path))


def in_prompt(context: Context, row: str) -> list[str]:
    """The names of the functions that a row is shown."""
    text = shown_of(context).rows[row].prompt[-1].content
    return [one.title for one in context.library.passages if shown(one) in text]  # type: ignore[union-attr]


def test_all_rows_have_what_is_retrieved_but_for_some_of_train(context: Context) -> None:
    found, library = shown_of(context), context.library
    assert library is not None
    split = context.split
    assert set(found.rows) == {one.id for part in (split.train, split.dev, split.test) for one in part}
    other = []
    for part in (split.train, split.dev, split.test):
        for example, near in zip(part, library.like(part, found.passages), strict=True):
            if set(in_prompt(context, example.id)) != {one.title for one in near}:
                other.append(example)
            assert found.rows[example.id].target == example.target
    assert len(other) == found.wrong == round(0.25 * len(split.train))
    assert set(other) <= set(split.train)
    for example in other:  # what they are shown is not like them
        assert example.target.split("(")[0] not in in_prompt(context, example.id)


def test_the_tokens_are_those_of_the_rows_as_they_are_shown(context: Context) -> None:
    found = shown_of(context)
    renderer = context.prepared.speaker.renderer
    for name, row in found.rows.items():
        assert found.prepared.rendered[name] == renderer.render(row)
    view = reading_context(context)
    assert view.work.row_tokens > context.work.row_tokens + 10
    assert view.work.target_tokens == context.work.target_tokens
    assert shown_of(context) is found  # made once


def test_the_view_has_the_sizes_of_its_context_and_leaves_it_as_it_was(context: Context) -> None:
    before = context.split
    context.size = replace(context.size, train=7, test=5)
    view = reading_context(context)
    assert view.size == context.size
    assert context.split is before
    assert context.prepared is not view.prepared
    assert [one.id for one in view.split.train] == [one.id for one in before.train]
    assert view.speeds.prefill == SLOW.prefill
    assert view.fingerprint != context.fingerprint


def test_choosing_a_label_takes_longer_by_what_is_read(context: Context) -> None:
    context.speeds = replace(SLOW, score=0.5)
    view = reading_context(context)
    more = view.work.tail_tokens - context.work.tail_tokens
    assert view.speeds.score == pytest.approx(0.5 + more / SLOW.prefill)
    assert view.speeds.slower(2.0, 2.0).prefill == SLOW.prefill / 2


def test_the_fewest_passages_with_nearly_the_recall_of_more(context: Context) -> None:
    assert number_of(context) == 1  # the first passage is nearly always right here
    without = Library(tuple(context.library.passages[3:]), Path("x"))  # type: ignore[union-attr]
    context.library = without
    assert number_of(context) == 1  # more would not help either


def test_tokens_are_counted_on_real_prompts(context: Context) -> None:
    each, everything = tokens_of(context), all_tokens(context)
    assert 20 < each < 200
    assert everything > 10 * each
    assert longest_prompt(context) > max(row.answer_start for row in context.prepared.rendered.values())


def test_the_least_similar_are_left_out_until_there_is_room() -> None:
    def row(near: tuple[str, ...]) -> tuple[str, int]:
        return "+".join(near), 10 * len(near)

    assert shortest(row, ("a", "b", "c"), 30) == "a+b+c"  # type: ignore[arg-type, type-var]
    assert shortest(row, ("a", "b", "c"), 25) == "a+b"  # type: ignore[arg-type, type-var]
    assert shortest(row, ("a",), 5) == ""  # type: ignore[arg-type, type-var]


def test_rows_without_room_get_fewer_passages(asked: Prepared, tmp_path: Path) -> None:
    longest = max(len(row.ids) for row in asked.rendered.values())
    small = replace(asked, max_length=longest + 4)
    assert asked.documents is not None
    context = context_of(small, tmp_path, library=Library.of(asked.documents, tmp_path))
    found = shown_of(context)
    assert all(len(row.ids) <= longest + 4 for row in found.prepared.rendered.values())
    assert found.rows[context.split.test[0].id].messages == context.split.test[0].messages


def test_what_the_retriever_finds_is_in_the_result(context: Context) -> None:
    class Nothing(Responder):
        def answer(self, examples: object, watcher: object = None) -> list[object]:  # type: ignore[override]
            return []

        def save(self, folder: Path) -> None: ...

    found = with_recall(Outcome(Nothing()), context, 2)
    recall = found.applied["retriever_recall"]
    assert list(recall) == ["1", "2", "4", "8"]
    assert recall["1"] > 0.9
    assert found.applied["passages"] == 2
    assert f"of the {len(context.split.test)} test rows: for" in found.notes[0]
    assert found.applied["library_passages"] == len(read_documents(Path(asked_path(context))).passages) == 24


def asked_path(context: Context) -> str:
    return str(context.settings.documents)
