"""Prompts that follow from a way."""

from __future__ import annotations

import pytest

from rows_of import rows, task_of
from rung.compute.load import tiny
from rung.data.templates import Renderer
from rung.evaluation.prompts import content_free, few_shot
from rung.evaluation.run import Speaker
from rung.ladder.retrieval import Pool
from rung.ladder.ways import Asker, Way, plain_fits, plain_speaker
from rung.records import from_json, to_json

TRAIN = rows([(f"{word} {i}", label) for i, (word, label) in enumerate([("red car", "a"), ("sky", "b")] * 5)])
TASK = task_of(TRAIN, "classification")
ASKED = rows([("a red car", "a"), ("the sky", "b"), ("sky 1", "b")])
ROOM = 2000


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    base = tiny()
    return Speaker(base, Renderer(base.tokenizer))


def test_fixed_examples_are_the_same_for_every_row(speaker: Speaker) -> None:
    way = Way("2 examples", shots=tuple(TRAIN[:2]))
    ids = Asker(speaker, TASK, way, ROOM).ids(ASKED)
    wanted = [speaker.renderer.prompt_ids(few_shot(TASK, TRAIN[:2], row)) for row in ASKED]
    assert ids == wanted


def test_retrieved_examples_are_like_the_row_and_not_the_row_itself(speaker: Speaker) -> None:
    pool = Pool.of(TRAIN)
    ids = Asker(speaker, TASK, Way("2 retrieved examples", retrieved=2), ROOM, pool).ids(ASKED)
    shown = pool.like(ASKED, 2)
    assert ids == [
        speaker.renderer.prompt_ids(few_shot(TASK, shots, row))
        for shots, row in zip(shown, ASKED, strict=True)
    ]
    assert {shot.target for shot in shown[0]} == {"a"}
    assert all("sky 1" not in shot.prompt[-1].content for shot in shown[2])


def test_the_least_similar_are_left_out_where_a_prompt_is_too_long(speaker: Speaker) -> None:
    pool, way = Pool.of(TRAIN), Way("4 retrieved examples", retrieved=4)
    whole = Asker(speaker, TASK, way, ROOM, pool).ids(ASKED)
    room = max(map(len, whole)) - 1
    cut = Asker(speaker, TASK, way, room, pool).ids(ASKED)
    shots = pool.like(ASKED, 4)
    for before, after, shown, row in zip(whole, cut, shots, ASKED, strict=True):
        if len(before) <= room:
            assert after == before
        else:
            assert after == speaker.renderer.prompt_ids(few_shot(TASK, shown[1:], row))
    assert whole != cut
    none = Asker(speaker, TASK, way, 10, pool).ids(ASKED[:1])
    assert none == [speaker.renderer.prompt_ids(few_shot(TASK, (), ASKED[0]))]


def test_an_empty_text_calibrates_fixed_examples_alone(speaker: Speaker) -> None:
    way = Way("with instruction")
    wanted = [speaker.renderer.prompt_ids(one) for one in content_free(way.prompt(TASK, ASKED[0]))]
    assert Asker(speaker, TASK, way, ROOM).empty_ids(ASKED[0]) == wanted
    pool = Pool.of(TRAIN)
    assert Asker(speaker, TASK, Way("r", retrieved=1), ROOM, pool).empty_ids(ASKED[0]) == []


def test_the_plain_layout_has_the_headings_of_the_task(speaker: Speaker) -> None:
    plain = plain_speaker(speaker, TASK)
    assert plain.base is speaker.base
    (ids,) = Asker(plain, TASK, Way("p", instruction=False, plain=True), ROOM).ids(ASKED[:1])
    assert speaker.base.tokenizer.decode(ids) == "Text: a red car\nLabel:"


def test_one_target_of_two_lines_is_one_too_many() -> None:
    assert plain_fits(TRAIN)
    assert not plain_fits([*TRAIN, *rows([("q", "two\nlines")])])


def test_a_way_is_a_record() -> None:
    way = Way("2 examples, plain layout", False, tuple(TRAIN[:2]), 3, True, "states")
    assert from_json(Way, to_json(way)) == way
