"""One path for every rung: ask, grade, measure."""

from __future__ import annotations

import pytest

import letters
from rung.compute.load import tiny
from rung.data.formats import example_of
from rung.data.templates import Renderer
from rung.evaluation.run import Speaker, complete, write
from rung.records import Message

ROWS = tuple(
    example_of([Message("user", text), Message("assistant", label)], row)
    for row, (text, label) in enumerate(letters.rows(12), start=1)
)


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    base = tiny()
    return Speaker(base, Renderer(base.tokenizer))


def test_answers_come_in_the_order_of_the_rows(speaker: Speaker) -> None:
    prompts = [example.prompt for example in ROWS]
    together = complete(speaker, ROWS, prompts, 5)
    assert [one.example_id for one in together] == [example.id for example in ROWS]
    alone = [complete(speaker, [example], [example.prompt], 5)[0] for example in ROWS]
    assert alone == together
    assert all(one.tokens <= 5 for one in together)
    assert all(one.tokens == 5 for one in together if one.truncated)
    assert [one.read for one in together] == [len(speaker.renderer.prompt_ids(prompt)) for prompt in prompts]


def test_the_end_of_turn_counts_as_a_token(speaker: Speaker) -> None:
    prompt = speaker.renderer.prompt_ids(ROWS[0].prompt)
    (written,) = speaker.engine.generate([prompt], max_new_tokens=3, stop_ids=())
    assert written.ids[2] not in written.ids[:2]
    renderer = Renderer(speaker.base.tokenizer)
    renderer.stop_ids = frozenset({written.ids[2]})
    (one,) = complete(Speaker(speaker.base, renderer), ROWS[:1], [ROWS[0].prompt], 10)
    assert (one.tokens, one.truncated) == (3, False)


def test_rows_are_counted_while_they_are_answered(speaker: Speaker) -> None:
    seen: list[tuple[int, int]] = []
    complete(speaker, ROWS, [example.prompt for example in ROWS], 2, lambda *done: seen.append(done))
    assert seen[-1] == (12, 12)


def test_a_prompt_can_be_token_ids(speaker: Speaker) -> None:
    prompts = [example.prompt for example in ROWS]
    ids = [speaker.renderer.prompt_ids(prompt) for prompt in prompts]
    assert write(speaker, ROWS, ids, 4) == complete(speaker, ROWS, prompts, 4)
