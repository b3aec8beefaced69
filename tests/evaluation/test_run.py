"""One path for every rung: ask, grade, measure."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import letters
from rows_of import task_of
from rung.bases.tiny import tiny
from rung.data.formats import example_of
from rung.data.templates import Renderer
from rung.evaluation.prompts import content_free, zero_shot
from rung.evaluation.run import Speaker, complete, pick_labels
from rung.records import Message

ROWS = tuple(
    example_of([Message("user", text), Message("assistant", label)], row)
    for row, (text, label) in enumerate(letters.rows(12), start=1)
)
TASK = task_of(ROWS, "classification")


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    base = tiny()
    return Speaker(base, Renderer(base.tokenizer))


def log_likelihood(speaker: Speaker, prompt: tuple[Message, ...], label: str) -> float:
    """The textbook way: one row, one label, one pass."""
    ids = speaker.renderer.prompt_ids(prompt)
    answer = speaker.renderer.completion_ids(label)
    with torch.no_grad():
        logits = speaker.base.model(input_ids=torch.tensor([ids + answer])).logits[0].double()
    logs = logits.log_softmax(-1)[len(ids) - 1 : -1]
    return float(logs[range(len(answer)), answer].sum())


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


def test_labels_are_picked_by_their_likelihood(speaker: Speaker) -> None:
    prompts = [zero_shot(TASK, example) for example in ROWS]
    picked = pick_labels(speaker, TASK, ROWS, prompts)
    assert list(picked) == ["likelihood", "calibrated likelihood"]
    scores = np.array([[log_likelihood(speaker, p, label) for label in TASK.labels] for p in prompts])
    empty = content_free(prompts[0])
    prior = np.array([[log_likelihood(speaker, p, label) for label in TASK.labels] for p in empty])
    prior = prior - np.log(np.exp(prior).sum(1, keepdims=True))
    expected = {"likelihood": scores.argmax(1), "calibrated likelihood": (scores - prior.mean(0)).argmax(1)}
    for how, best in expected.items():
        assert [one.text for one in picked[how]] == [TASK.labels[at] for at in best]
        assert all(one.tokens == 0 and not one.truncated for one in picked[how])
        assert [one.read for one in picked[how]] == [len(speaker.renderer.prompt_ids(p)) for p in prompts]
    assert (expected["likelihood"] != expected["calibrated likelihood"]).any()


def test_rows_are_counted_while_they_are_answered(speaker: Speaker) -> None:
    seen: list[tuple[int, int]] = []
    complete(speaker, ROWS, [example.prompt for example in ROWS], 2, lambda *done: seen.append(done))
    assert seen[-1] == (12, 12)
    seen.clear()
    pick_labels(speaker, TASK, ROWS, [example.prompt for example in ROWS], lambda *done: seen.append(done))
    assert seen[-1] == (12, 12)
