"""Rows as a method learns them: as they are, prompts with a label for a head, pairs of answers for DPO."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rung.data.pairs import Pair, pair
from rung.errors import DataError
from rung.evaluation.labels import equal_label
from rung.methods import METHODS
from rung.methods.method import Objective
from rung.records import Example, Rendered
from rung.train.dpo import Dpo, reference

if TYPE_CHECKING:
    from rung.ladder.prepare import Prepared


def rows_for(prepared: Prepared, method: str, examples: Sequence[Example]) -> list[Rendered]:
    """What `method` is trained on: the rows as they are rendered, `label_rows` or `pairs_of`."""
    if METHODS.classifies(method):
        return label_rows(prepared, examples)
    if METHODS.prefers(method):
        return list(pairs_of(prepared, examples))
    return [prepared.rendered[example.id] for example in examples]


def pairs_of(prepared: Prepared, examples: Sequence[Example]) -> list[Pair]:
    """Those of `examples` that have a rejected answer, with both. Raises `DataError` where none has."""
    others = prepared.others
    found = [pair(prepared.rendered[one.id], others[one.id]) for one in examples if one.id in others]
    if examples and not found:
        raise DataError(
            "no row has a rejected answer next to its chosen one",
            where=examples[0].source,
            fix="Give rows with chosen and rejected, or leave out the rungs that end with -dpo",
        )
    return found


def loss_for(
    prepared: Prepared, method: str, examples: Sequence[Example] = (), folder: Path | None = None
) -> Objective | None:
    """What `method` makes small, where that is no loss of its own: DPO, with what the base says of the pairs
    among `examples`. Nothing may be attached. See `rung.train.dpo.reference` for `folder`."""
    if not METHODS.prefers(method):
        return None
    settings, pairs = prepared.settings, pairs_of(prepared, examples)
    known = reference(prepared.base.model, pairs, folder) if pairs else {}
    return Dpo(settings.beta, settings.label_smoothing, known)


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
