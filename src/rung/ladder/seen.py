"""What test rows have in common with train rows, such as the API that they call: a score on APIs that train
shows says nothing about the others, so both are measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rung.evaluation.metrics import measures
from rung.evaluation.tasks import KINDS
from rung.records import Answer, Example, Measure, Task


def is_seen(task: Task, train: Sequence[Example], test: Sequence[Example]) -> list[bool | None]:
    """For each test row, whether train rows have all that it asks for; None where that has no name, as in
    most kinds of tasks."""
    kind = KINDS[task.kind]
    if not kind.shares:
        return [None] * len(test)
    known = {name for example in train for name in kind.shared(task, example)}
    asked = [kind.shared(task, example) for example in test]
    return [known.issuperset(names) if names else None for names in asked]


def facts(task: Task, train: Sequence[Example], test: Sequence[Example]) -> dict[str, Any]:
    """``{"seen": {"what": "API", "rows": 182, "of": 186}}`` for run.json; empty where nothing is named."""
    seen = [one for one in is_seen(task, train, test) if one is not None]
    if not seen:
        return {}
    return {"seen": {"what": KINDS[task.kind].shares, "rows": sum(seen), "of": len(seen)}}


def measured(
    task: Task, train: Sequence[Example], test: Sequence[Example], answers: Sequence[Answer], seed: int = 0
) -> tuple[Measure, ...]:
    """The primary metric on the test rows that train rows show and on those that they do not; empty where all
    rows are of one of these."""
    seen = is_seen(task, train, test)
    found = []
    for wanted, words in ((True, "in train"), (False, "not in train")):
        kept = [row for row, one in zip(zip(test, answers, strict=True), seen, strict=True) if one is wanted]
        if not kept:
            return ()
        examples, graded = [row[0] for row in kept], [row[1] for row in kept]
        one = measures(task, examples, graded, [answer.text for answer in graded], seed)[0]
        name = f"{task.primary}, {KINDS[task.kind].shares} {words}"
        found.append(replace(one, name=name, note=f"{one.n:,} test rows"))
    return tuple(found)
