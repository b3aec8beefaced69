"""Examples and files of them, written in a line: helpers that tests share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rung.data import Loaded, example_of
from rung.evaluation.tasks import understand
from rung.records import Example, Message, Task


def rows(pairs: Iterable[tuple[str, str]]) -> list[Example]:
    """An example for each question and answer."""
    return [
        example_of([Message("user", question), Message("assistant", target)], row)
        for row, (question, target) in enumerate(pairs, start=1)
    ]


def of_targets(*targets: str, times: int = 1) -> list[Example]:
    """Rows with these targets, over and over."""
    return rows((f"question {i}", target) for i, target in enumerate(targets * times))


def loaded_of(examples: Sequence[Example], hint: str | None = None, **more: Any) -> Loaded:
    """A file that holds these examples."""
    return Loaded(tuple(examples), "prompt-completion", "rows.jsonl", "", hint=hint, **more)


def task_of(
    examples: Sequence[Example], kind: str | None = None, hint: str | None = None, **more: Any
) -> Task:
    """The task of these examples."""
    return understand(loaded_of(examples, hint, **more), kind)[0]
