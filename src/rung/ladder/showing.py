"""Passages in the prompt of a row: where they stand and how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from rung.data.passages import shown
from rung.evaluation.tasks import KINDS
from rung.records import Example, Message, Passage, Task

Place = Literal["before", "after", "system"]
HEAD = "Documents:"


def with_passages(task: Task, example: Example, passages: Sequence[Passage], place: Place) -> Example:
    """`example` with `passages`, the most similar one first, in its prompt; its id and target stay.

    They stand in the last user turn before the question or after it, the most similar one next to it, or in a
    system turn of their own before all others, in their order. Without passages the row is as it was.
    """
    if not passages:
        return example
    ordered = tuple(reversed(passages)) if place == "before" else tuple(passages)
    block = "\n\n".join([HEAD, *map(shown, ordered)])
    asked = max((i for i, turn in enumerate(example.prompt) if turn.role == "user"), default=-1)
    if place == "system" or asked < 0:
        return replace(example, messages=(Message("system", block), *example.messages))
    turn = example.messages[asked]
    question = f"{KINDS[task.kind].headings(task)[0]}: {turn.content}"
    content = f"{block}\n\n{question}" if place == "before" else f"{question}\n\n{block}"
    turns = (*example.messages[:asked], replace(turn, content=content), *example.messages[asked + 1 :])
    return replace(example, messages=turns)
