"""A model answers in one way, and its scores never contradict what it picks."""

from __future__ import annotations

import numpy as np
import pytest

from rung.evaluation.label_rules import LabelRule
from rung.evaluation.run import write
from rung.generate.choose import log_likelihoods
from rung.ladder.answer_by import WRITING, AnswerBy, Answering
from rung.ladder.prepare import Prepared
from rung.records import Example, from_json, to_json


def asked(prepared: Prepared) -> tuple[list[Example], list[list[int]]]:
    rows = list(prepared.split.dev[:7])
    return rows, prepared.speaker.renderer.prompts(rows, [row.prompt for row in rows])


def answering(prepared: Prepared, rule: LabelRule | None) -> Answering:
    labels = prepared.task.labels
    by = WRITING if rule is None else AnswerBy("likelihood", labels, rule)
    return Answering(prepared.speaker, by, 4)


def test_it_writes_where_there_is_no_rule(prepared: Prepared) -> None:
    rows, ids = asked(prepared)
    made = answering(prepared, None)
    wanted = write(prepared.speaker, rows, ids, 4)
    assert made.answer(rows, ids) == wanted
    answers, scores = made.answer_and_score(rows, ids, prepared.task.labels)
    assert answers == wanted
    np.testing.assert_allclose(scores, made.score(ids, prepared.task.labels), atol=1e-5)


@pytest.mark.parametrize("rule", [LabelRule(), LabelRule(per_token=True), LabelRule(offsets=(-3.0, 3.0))])
def test_it_picks_the_label_with_the_highest_score(prepared: Prepared, rule: LabelRule) -> None:
    rows, ids = asked(prepared)
    labels = prepared.task.labels
    made = answering(prepared, rule)
    answers, scores = made.answer_and_score(rows, ids, labels)
    assert answers == made.answer(rows, ids)
    assert [one.text for one in answers] == [labels[at] for at in scores.argmax(1)]
    assert np.logaddexp.reduce(scores, axis=1) == pytest.approx(0.0, abs=1e-9)
    assert {one.tokens for one in answers} == {0}


def test_other_choices_are_scored_without_the_rule(prepared: Prepared) -> None:
    rows, ids = asked(prepared)
    made = answering(prepared, LabelRule(offsets=(-3.0, 3.0)))
    choices = [prepared.speaker.renderer.completion_ids(text) for text in ("x", "b")]
    answers, scores = made.answer_and_score(rows, ids, ("x", "b"))
    wanted = log_likelihoods(prepared.base, ids, choices)
    np.testing.assert_allclose(scores, wanted, atol=1e-5)
    assert answers == made.answer(rows, ids)


def test_it_is_kept_as_json() -> None:
    by = AnswerBy("likelihood per token", ("a", "b"), LabelRule(per_token=True))
    assert from_json(AnswerBy, to_json(by)) == by
    assert from_json(AnswerBy, {}) == WRITING
