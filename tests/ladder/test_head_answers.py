"""A head answers with the label of the highest logit, and gives the probabilities of all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from rung.ladder import tuning
from rung.ladder.head_answers import HeadResponder, with_head
from rung.ladder.options import attach
from rung.ladder.prepare import Prepared
from rung.ladder.speaking import base_of
from rung.methods.method import Attached
from tiny_model import shake


@pytest.fixture
def attached(prepared: Prepared) -> Iterator[Attached]:
    """A head over LoRA with random numbers."""
    found = attach(prepared, "head-lora")
    shake(found.parameters())
    found.updated()
    yield found
    found.detach()


def responder(prepared: Prepared, attached: Attached) -> HeadResponder:
    head = with_head(attached)
    assert head is not None
    return HeadResponder(prepared.speaker, head)


def test_answers_and_scores_are_those_of_the_model_row_by_row(prepared: Prepared, attached: Attached) -> None:
    some, labels = prepared.split.dev[:9], prepared.task.labels
    answers, scores = responder(prepared, attached).answer_and_score(some, labels)
    weight = attached.named()["score.weight"]
    for place, example in enumerate(some):
        ids = prepared.speaker.renderer.prompt_ids(example.prompt)
        with torch.no_grad():
            state = prepared.base.model.base_model(input_ids=torch.tensor([ids]), use_cache=False)
            wanted = (weight @ state.last_hidden_state[0, -1]).log_softmax(0)
        assert scores[place] == pytest.approx(wanted.numpy(), abs=1e-4)
        assert answers[place].text == labels[int(wanted.argmax())]
        assert (answers[place].tokens, answers[place].read, answers[place].truncated) == (0, len(ids), False)
    assert {one.text for one in answers} == set(labels)


def test_a_choice_that_is_no_label_is_very_unlikely(prepared: Prepared, attached: Attached) -> None:
    scores = responder(prepared, attached).score(prepared.split.dev[:2], ["b", "neither"])
    assert (scores[:, 1] == -30).all()
    assert (scores[:, 0] > -30).all()


def test_what_is_saved_answers_the_same(prepared: Prepared, attached: Attached, tmp_path: Path) -> None:
    some = prepared.split.dev[:9]
    applied = {"method": "head-lora"}
    tuned = tuning.Tuned(attached, None, applied, 0)  # type: ignore[arg-type]
    tuning.save(prepared, tuned, tmp_path / "adapter")
    made = tuning.responder(prepared.speaker, attached, 9, tmp_path / "adapter", base_of(prepared))
    made.save(tmp_path / "answer")
    again = tuning.load(tmp_path / "answer")
    assert isinstance(again, HeadResponder)
    assert again.answer(some) == made.answer(some)
    labels = prepared.task.labels
    assert np.array_equal(again.score(some, labels), made.score(some, labels))  # type: ignore[arg-type]
