"""The right answer against wrong ones: is it the likeliest, where the others are the answers of other rows?

Asked for kinds of tasks with `Kind.against_others`. The likelihood of an answer is the mean log-probability
of its tokens, its end of turn included, so that short answers have no advantage. Every rung sees the same
wrong answers: the test rows are shuffled by the seed and put into groups of five, and the answers of a group
are wrong ones for each other. So a group is one table of scores.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from rung.data import normalise
from rung.evaluation.tasks import KINDS
from rung.ladder.watch import Late
from rung.records import Completion, Example

if TYPE_CHECKING:
    from rung.ladder.context import Context
    from rung.ladder.responder import Responder

WRONG = 4  # wrong answers for a row
MOST_ROWS = 100
SHARE = 0.02  # of the budget is spent on this by a rung at most
CHOICE = "choice"  # in `Completion.values`: 1 where the right answer is the likeliest, else 0


def against_others(
    context: Context, responder: Responder, examples: Sequence[Example], completions: list[Completion]
) -> list[Completion]:
    """`completions` with `CHOICE`, for at most `MOST_ROWS` rows and as long as there is time for it.

    Without it where the kind of task does not ask for it, or the responder has no probabilities.
    """
    asked = KINDS[context.task.kind].against_others and examples
    if not asked or responder.tokens([examples[0].target]) is None:
        return completions
    settings, watcher = context.settings, context.watcher
    found: dict[str, float] = {}
    start = time.monotonic()
    watcher.begin("", "comparing right answers with wrong ones")
    for rows, answers in groups(examples, settings.seed):
        found |= chosen(responder, rows, answers)
        if len(found) >= MOST_ROWS or _is_over(settings.budget, time.monotonic() - start):
            break
        try:
            watcher.rows(len(found), min(len(examples), MOST_ROWS))
        except Late:
            break
    return [
        replace(one, values={**one.values, CHOICE: found[one.example_id]}) if one.example_id in found else one
        for one in completions
    ]


def groups(examples: Sequence[Example], seed: int) -> Iterator[tuple[list[Example], list[str]]]:
    """Rows with different answers, and these answers, `WRONG` + 1 of them, in the same order.

    A last group that is too small is filled up with answers of other rows. Nothing where there are too few
    different answers.
    """
    order = sorted(examples, key=lambda one: one.id)
    random.Random(f"others {seed}").shuffle(order)
    known = {normalise(one.target): one.target for one in order}
    if len(known) <= WRONG:
        return
    waiting = list(order)
    while waiting:
        rows: dict[str, Example] = {}
        rest = []
        for one in waiting:
            key = normalise(one.target)
            if len(rows) <= WRONG and key not in rows:
                rows[key] = one
            else:
                rest.append(one)
        others = [text for key, text in known.items() if key not in rows]
        answers = [one.target for one in rows.values()] + others[: WRONG + 1 - len(rows)]
        yield list(rows.values()), answers
        waiting = rest


def chosen(responder: Responder, rows: Sequence[Example], answers: Sequence[str]) -> dict[str, float]:
    """Id -> 1 where the answer at the row's own place is the likeliest by token, 0 where another is, or is as
    likely; nothing where the responder has no probabilities."""
    scores, lengths = responder.score(rows, answers), responder.tokens(answers)
    if scores is None or lengths is None:
        return {}
    means = np.asarray(scores) / np.array(lengths)  # (rows, answers), nats per token
    own = means[np.arange(len(rows)), np.arange(len(rows))]
    means[np.arange(len(rows)), np.arange(len(rows))] = -np.inf
    best = own > means.max(axis=1)
    return {row.id: float(right) for row, right in zip(rows, best, strict=True)}


def _is_over(budget: float | None, seconds: float) -> bool:
    return budget is not None and seconds > SHARE * budget
