"""Zero-shot prompting."""

from __future__ import annotations

from dataclasses import replace

from contexts import WORK, context_of
from rows_of import rows, task_of
from rung.ladder.prepare import Prepared
from rung.ladder.rungs.zero_shot import ZeroShot


def test_labels_need_an_instruction_in_a_chat(prepared: Prepared) -> None:
    ways = ZeroShot().ways(context_of(prepared))
    assert [(way.instruction, way.plain) for way in ways] == [(True, False), (True, True), (False, True)]
    assert not any(way.shots or way.retrieved for way in ways)


def test_other_tasks_are_also_asked_without(prepared: Prepared) -> None:
    free = replace(prepared, task=task_of(prepared.split.train, "generation"))
    ways = ZeroShot().ways(context_of(free))
    assert [way.instruction for way in ways] == [True, False, True, False]
    row = prepared.split.test[0]
    assert ways[1].prompt(free.task, row) == row.prompt


def test_targets_of_several_lines_have_no_plain_layout(prepared: Prepared) -> None:
    long = replace(prepared, split=replace(prepared.split, train=tuple(rows([("q", "two\nlines")]))))
    assert [way.plain for way in ZeroShot().ways(context_of(long))] == [False]


def test_answers_that_are_no_labels_are_quoted_at_the_limit(prepared: Prepared) -> None:
    labels = context_of(prepared)
    labels.work = WORK
    assert {ask.written for ask in ZeroShot().asks(labels)} == {None}
    free = context_of(replace(prepared, task=task_of(prepared.split.train, "generation")))
    free.work = WORK
    assert {ask.written for ask in ZeroShot().asks(free)} == {WORK.longest_answer}
