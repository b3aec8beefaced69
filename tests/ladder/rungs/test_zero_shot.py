"""Zero-shot prompting."""

from __future__ import annotations

from dataclasses import replace

from contexts import context_of
from rows_of import task_of
from rung.ladder.prepare import Prepared
from rung.ladder.rungs.zero_shot import ZeroShot


def test_labels_need_an_instruction(prepared: Prepared) -> None:
    (way,) = ZeroShot().ways(context_of(prepared))
    assert (way.name, way.instruction, way.shots) == ("with instruction", True, ())


def test_other_tasks_are_also_asked_without(prepared: Prepared) -> None:
    free = replace(prepared, task=task_of(prepared.split.train, "generation"))
    context = context_of(free)
    ways = ZeroShot().ways(context)
    assert [way.instruction for way in ways] == [True, False]
    row = prepared.split.test[0]
    assert ways[1].prompt(free.task, row) == row.prompt
    assert ZeroShot().tries(context)[0] == 2
