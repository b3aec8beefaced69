"""What prompting costs: the rounds of the choice on dev, and the test rows. No torch, no clock.

row written  = its own tokens / prefill rate + tokens written / decode rate
row of labels = the seconds that were timed for a zero-shot row + its further tokens / prefill rate
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from rung.ladder.forecast import Size, Speeds, Workload
from rung.ladder.halving import FURTHER_ROWS, rounds


@dataclass(frozen=True, slots=True)
class Ask:
    """Tokens of the prompts of one way."""

    prefix: float  # that all prompts share
    own: float  # that a prompt has for itself, on average
    written: float | None = None  # of an answer; twice a target's if not given
    before: float = 0.0  # that are read once, before the first prompt is written


def prompt_seconds(
    work: Workload, speeds: Speeds, size: Size, stages: Sequence[Sequence[Ask]], pairs: bool = False
) -> tuple[float, float, float]:
    """Seconds of trying the ways of each stage on dev and of answering test: at least, expected, at most.

    The best of a stage takes part in the next. Which way that is, and which one answers test, is not known:
    the cheapest at least, the most expensive at most. Expected is an average way on dev, and the most
    expensive one on test, so that a budget holds.
    """
    costs = [[pair for ask in asks for pair in _arms(work, speeds, ask, pairs)] for asks in stages if asks]
    low = mean = high = 0.0
    for i, arms in enumerate(costs):
        done = 0
        for left, rows in rounds(len(arms) + (i > 0), min(size.dev, FURTHER_ROWS) if i else size.dev):
            ordered = sorted(start + (rows - done) * row for start, row in arms)
            left = min(left, len(ordered))  # what went on from the stage before has been read already
            low += sum(ordered[:left])
            mean += left * fmean(ordered)
            high += sum(ordered[-left:])
            done = rows
    if not costs:
        return 0.0, 0.0, 0.0  # nothing can be asked; the run says why
    test = sorted(start + size.test * row for arms in costs for start, row in arms)
    before = sum(ask.before for asks in stages for ask in asks) / speeds.prefill
    return before + low + test[0], before + mean + test[-1], before + high + test[-1]


def _arms(work: Workload, speeds: Speeds, ask: Ask, pairs: bool) -> list[tuple[float, float]]:
    """Seconds (before the first row, of a row) of written answers and, where there are any, of labels; of
    reading both answers where rows are `pairs`."""
    slower = 1 + ask.prefix / 3000  # every new token also attends to the prefix
    start = ask.prefix / speeds.prefill
    if pairs:
        own = ask.own - work.tail_tokens + work.pair_tokens
        return [(start, slower * own / speeds.prefill)]
    written = 2 * work.target_tokens + 2 if ask.written is None else ask.written
    written = min(work.longest_answer, written)
    found = [(start, ask.own / speeds.prefill + slower * written / speeds.decode)]
    if work.constrained:  # the same answers in the task's form
        found *= 2
    if work.label_tokens:
        longer = max(0.0, ask.own - work.tail_tokens)
        found.append((start, slower * (speeds.score + longer / speeds.prefill)))
    return found
