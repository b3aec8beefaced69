"""Rows for a head that learns labels: prompts without their answers, and the label of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rung.errors import DataError
from rung.evaluation.labels import equal_label
from rung.methods import METHODS
from rung.records import Example, Rendered

if TYPE_CHECKING:
    from rung.ladder.prepare import Prepared


def rows_for(prepared: Prepared, method: str, examples: Sequence[Example]) -> list[Rendered]:
    """What `method` is trained on: the rows as they are rendered, or `label_rows`."""
    if METHODS.classifies(method):
        return label_rows(prepared, examples)
    return [prepared.rendered[example.id] for example in examples]


def label_rows(prepared: Prepared, examples: Sequence[Example]) -> list[Rendered]:
    """The prompt of each example with the place of its label among the task's.

    Raises `DataError` for a row without one of them.
    """
    labels = prepared.task.labels
    place = {label: number for number, label in enumerate(labels)}
    found = []
    for example in examples:
        label = equal_label(example.target, labels)
        if label is None:
            what = f"row {example.row} has none of the task's labels"
            raise DataError(what, where=example.source, fix="Correct its target, or leave the row out")
        row = prepared.rendered[example.id]
        ids = row.ids[: row.answer_start]
        found.append(Rendered(example.id, ids, (False,) * len(ids), label=place[label]))
    return found
