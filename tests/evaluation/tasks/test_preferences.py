"""Preferences: when they are inferred, which rows cannot be graded, and what an answer is worth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rows_of import loaded_of, rows
from rung.data import example_of
from rung.evaluation.metrics import grade, measures
from rung.evaluation.tasks import KINDS, understand, unreadable
from rung.records import Completion, Example


def pairs(count: int = 30, **facts: Any) -> list[Example]:
    plain = rows((f"question {i // 2}", f"good answer {i}") for i in range(count))
    both = [{"rejected": f"bad answer, {one.row}"} | facts for one in plain]
    return [example_of(one.messages, one.row, facts=own) for one, own in zip(plain, both, strict=True)]


def test_rows_with_rejected_answers_are_preferences() -> None:
    task, loaded = understand(loaded_of(pairs()))
    assert task.kind == "preferences"
    assert "all 30 rows have a chosen and a rejected answer; 15 different prompts" in task.why
    assert task.facts == {"pairs": True}
    assert unreadable(task, loaded.examples) == []


def test_few_rejected_answers_are_not_enough() -> None:
    some = [*pairs(8), *rows((f"other {i}", f"text {i}") for i in range(20))]
    assert understand(loaded_of(some))[0].kind == "generation"


def test_another_task_learns_the_chosen_answers_and_says_so() -> None:
    task, loaded = understand(loaded_of(pairs()), "generation")
    assert task.kind == "generation"
    assert any("the chosen answers are learned" in note for note in task.notes)
    assert [one.target for one in loaded.examples] == [one.target for one in pairs()]


def test_length_that_says_much_is_said() -> None:
    (note,) = understand(loaded_of(pairs(rejected="a rejected answer that is far longer")))[0].notes
    assert "the chosen answer is the shorter one in 100% of the pairs" in note


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({}, "it has no rejected answer"),
        ({"rejected": " "}, "its rejected answer is empty"),
        ({"rejected": "good answer 0 "}, "its chosen and rejected answers are the same"),
        ({"unpaired": "they differ: make them one"}, "they differ: make them one"),
    ],
)
def test_rows_that_are_no_pairs_are_named(facts: dict[str, Any], why: str) -> None:
    task, loaded = understand(loaded_of(pairs()))
    bad = replace(loaded.examples[0], facts=facts)
    ((row, said),) = unreadable(task, [bad, *loaded.examples[1:]])
    assert row == 1
    assert said.startswith(why)


def test_the_chosen_answer_is_right_and_numbers_of_the_model_are_kept() -> None:
    task, loaded = understand(loaded_of(pairs(4) + pairs(30)[4:]))
    some = loaded.examples[:4]
    said = [some[0].target, str(some[1].facts["rejected"]), some[2].target, some[3].target]
    margins = [2.0, -1.0, 0.5, 0.5]
    scores = [
        grade(task, one, Completion(one.id, text, 0, values={"margin": margin}))
        for one, text, margin in zip(some, said, margins, strict=True)
    ]
    found = {one.name: one for one in measures(task, some, scores, said)}
    assert found["reward_accuracy"].value == pytest.approx(0.75)
    assert found["margin"].value == pytest.approx(0.5)
    assert found["chosen_change"].value is None  # no row has it
    assert KINDS["preferences"].pairs
