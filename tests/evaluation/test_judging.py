"""Grading answers and counting them."""

from __future__ import annotations

import pytest

import letters
from rows_of import task_of
from rung.data.formats import example_of
from rung.evaluation import judging
from rung.evaluation.judging import judge
from rung.records import Completion, Example, Message, Score

ROWS = tuple(
    example_of([Message("user", text), Message("assistant", label)], row)
    for row, (text, label) in enumerate(letters.rows(12), start=1)
)
TASK = task_of(ROWS, "classification")


def test_grades_are_counted_and_measured() -> None:
    texts = [example.target for example in ROWS]
    texts[0] = "b" if texts[0] == "a" else "a"
    texts[1], texts[2] = "no label at all", "well, let me"
    completions = [
        Completion(example.id, text, tokens=2, truncated=at == 2)
        for at, (example, text) in enumerate(zip(ROWS, texts, strict=True))
    ]
    found = judge(TASK, ROWS, completions)
    assert found.counts == {"ok": 10, "unparsed": 1, "truncated": 1, "error": 0}
    assert found.primary == found.metrics[0]
    assert (found.primary.name, found.primary.n) == ("accuracy", 12)
    assert found.primary.value == pytest.approx(9 / 12)
    answers = {answer.example_id: answer for answer in found.answers}
    assert [answers[example.id].text for example in ROWS] == texts
    assert (answers[ROWS[0].id].answer, answers[ROWS[1].id].answer) == (texts[0], None)


def test_a_fault_of_the_grader_drops_the_row_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = judging.grade

    def faulty(task: object, example: Example, completion: Completion) -> Score:
        if example == ROWS[3]:
            return Score(example.id, "error", note="the grader tripped")
        return plain(TASK, example, completion)

    monkeypatch.setattr(judging, "grade", faulty)
    found = judge(TASK, ROWS, [Completion(example.id, example.target, 1) for example in ROWS])
    assert found.counts == {"ok": 11, "unparsed": 0, "truncated": 0, "error": 1}
    assert (found.primary.value, found.primary.n) == (1.0, 11)
    assert [(a.example_id, a.note) for a in found.answers if a.status == "error"] == [
        (ROWS[3].id, "the grader tripped")
    ]


def test_nothing_to_judge_measures_nothing() -> None:
    found = judge(TASK, (), ())
    assert found.primary.value is None
    assert set(found.counts.values()) == {0}
