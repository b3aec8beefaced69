"""The task of a file, inferred once from all of its rows, the same for every verb.

What is found is kept in the `Task`, so that the rows of another file can be brought into its form later
(`tidy`) and those its grader cannot read are named before anything runs (`unreadable`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rung.data import Loaded, example_of
from rung.data.rejected import is_pair
from rung.data.verifiable import has_rules
from rung.errors import DataError, UsageError, nearest
from rung.evaluation.tasks.generation import GENERATION
from rung.evaluation.tasks.kind import KINDS, Kind
from rung.records import Example, Task


def understand(
    loaded: Loaded,
    kind: str | None = None,
    metric: str | None = None,
    facts: Mapping[str, Any] | None = None,
) -> tuple[Task, Loaded]:
    """The task of these rows, and the rows with their targets in the one spelling that is learned.

    `kind` is the task as the user says it; without it the first kind that fits is taken, the one the file's
    own words say before all others.  `metric` becomes the primary one.  `facts` are what is known besides the
    rows, such as a catalogue.  Rows with an empty target say nothing
    about the task.  Raises `UsageError` for an unknown kind or a metric the task does not have, and
    `DataError` where every target is empty.
    """
    rows = replace(loaded, examples=tuple(one for one in loaded.examples if _says(one)))
    if not rows.examples:
        what = "every target is empty" if loaded.examples else "there are no examples"
        raise DataError(what, where=loaded.name, fix="Write the wanted answer in each row")
    found, why = (KINDS[kind], "") if kind is not None else _first_that_fits(rows)
    task = Task(
        kind=found.name,
        why=why or f"{found.title}: asked for.",
        metrics=found.metrics,
        row_metric=found.row_metric,
        facts=facts or {},
    )
    task = with_primary(found.fill(task, rows), metric)
    if any(map(is_pair, rows.examples)):
        task = replace(task, facts={**task.facts, "pairs": True})
    if not found.pairs and task.facts.get("pairs"):
        note = "the chosen answers are learned; the rejected ones are used by rungs that end with -dpo alone"
        task = replace(task, notes=(*task.notes, note))
    return task, replace(loaded, examples=tidy(task, loaded.examples))


def tidy(task: Task, examples: Sequence[Example]) -> tuple[Example, ...]:
    """The examples with each target in the spelling the task has for it; ids follow the new text."""
    return tuple(_tidied(KINDS[task.kind], task, example) for example in examples)


def unreadable(task: Task, examples: Sequence[Example]) -> list[tuple[int, str]]:
    """(row, why) for each row whose target the task's own grader cannot read; empty targets are left out."""
    kind = KINDS[task.kind]
    graded = [one for one in examples if one.target.strip() or not kind.needs_target(one)]
    found = [(one.row, kind.unreadable(task, one)) for one in graded]
    return [(row, why) for row, why in found if why]


def doubts(task: Task, examples: Sequence[Example]) -> list[tuple[int, str]]:
    """(row, what may be wrong with it and what to do) for rows, as they are in the file, that can be used."""
    kind = KINDS[task.kind]
    return [(one.row, doubt) for one in examples for doubt in kind.doubts(task, one)]


def learn(task: Task, train: Sequence[Example]) -> Task:
    """The task with what its kind learns from train alone; rows that cannot be graded teach nothing."""
    bad = {row for row, _ in unreadable(task, train)}
    rows = [one for one in train if one.target.strip() and one.row not in bad]
    return KINDS[task.kind].learn(task, rows)


def grammars(task: Task, examples: Sequence[Example]) -> list[str]:
    """What the answer to each row can be kept to; empty where any text is an answer."""
    return [KINDS[task.kind].grammar(task, example) for example in examples]


def _says(example: Example) -> bool:
    """Whether a row says something about the task: by its target, or by rules for one."""
    return bool(example.target.strip()) or has_rules(example)


def _first_that_fits(loaded: Loaded) -> tuple[Kind, str]:
    hinted = [KINDS[loaded.hint]] if loaded.hint else []
    others = [kind for _, kind in KINDS.items() if kind is not GENERATION]
    for kind in (*hinted, *others):
        if why := kind.infer(loaded):
            return kind, why
    return GENERATION, GENERATION.infer(loaded)


def with_primary(task: Task, metric: str | None) -> Task:
    """The task with `metric` as its primary one. Raises `UsageError` where it has no such metric."""
    if metric is None:
        return task
    if metric in KINDS[task.kind].more_metrics(task):
        return replace(task, metrics=(metric, *(name for name in task.metrics if name != metric)))
    if metric not in task.metrics:
        raise UsageError(
            f"the task {task.kind} has no metric {metric!r}.{nearest(metric, task.metrics)}",
            fix=f"Its metrics: {', '.join(task.metrics)}",
        )
    others = (name for name in task.metrics if name != metric)
    return replace(task, metrics=(metric, *others))


def _tidied(kind: Kind, task: Task, example: Example) -> Example:
    target = kind.tidy(task, example.target)
    if target == example.target:
        return example
    messages = (*example.prompt, replace(example.messages[-1], content=target))
    return example_of(messages, example.row, example.source, example.group, example.facts)
