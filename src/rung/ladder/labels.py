"""Labels of test rows that the task does not know: they cannot be learned, and are named at the start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rung.data.check import label_key
from rung.data.strict_json import show
from rung.errors import DataError
from rung.ladder.left_out import counted
from rung.records import Example, Task

SHOWN = 8  # labels named; the rest is counted


def unknown_labels(task: Task, examples: Sequence[Example]) -> str:
    """A sentence about the labels of `examples` that are none of the task's, or "" where there are none.

    Labels that differ only by case, space or the form of their accents are the same, as in grading.
    Raises `DataError` with both lists of labels where not one of them is known.
    """
    known = set(map(label_key, (*task.labels, *task.meanings)))
    targets = [example.target.strip() for example in examples if example.target.strip()]
    unknown = Counter(target for target in targets if label_key(target) not in known)
    if not task.labels or not unknown:
        return ""
    with_rows = _listed([f"{show(label)} ({counted(n)})" for label, n in unknown.most_common()])
    if unknown.total() == len(targets):
        raise DataError(
            f"no row has a label that the train rows have: the {counted(len(targets))} have {with_rows}",
            where=examples[0].source,
            why=f"The labels of the train rows are {_listed(list(map(show, task.labels)))}",
            fix="Write the labels of both files in the same way",
        )
    return f"labels that no train row has, so that they cannot be learned: {with_rows}"


def _listed(words: Sequence[str]) -> str:
    more = f" and {len(words) - SHOWN:,} more" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + more
