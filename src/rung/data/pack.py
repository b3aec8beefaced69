"""Which rows go into which forward pass, and which passes into which optimizer step: pure arithmetic.

The plan of a whole training run is a function of (lengths, seed, epochs, sizes) alone, so a run that goes on
after a stop sees the same rows in the same order.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

_ROOM = 1.1  # packs of a step may be this much fuller than the mean


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step: its packs, each a tuple of row indices for one forward pass."""

    epoch: int  # from 0
    packs: tuple[tuple[int, ...], ...]

    @property
    def rows(self) -> list[int]:
        return [row for pack in self.packs for row in pack]


def pack(lengths: Sequence[int], rows: Sequence[int], limit: int) -> list[tuple[int, ...]]:
    """Put rows into as few packs of at most `limit` tokens as first-fit-decreasing finds.

    A row longer than `limit` gets a pack of its own; no token is dropped. Packs keep row order inside.
    """
    packs: list[list[int]] = []
    room: list[int] = []
    for row in sorted(rows, key=lambda row: (-lengths[row], row)):
        for index, free in enumerate(room):
            if lengths[row] <= free:
                packs[index].append(row)
                room[index] -= lengths[row]
                break
        else:
            packs.append([row])
            room.append(limit - lengths[row])
    return [tuple(sorted(one)) for one in packs]


def order(rows: int, seed: int, epoch: int) -> list[int]:
    """Row indices in the order of an epoch: a pure function of its arguments."""
    indices = list(range(rows))
    random.Random(f"{seed}/{epoch}").shuffle(indices)
    return indices


def plan(
    lengths: Sequence[int], *, seed: int, epochs: float, step_tokens: int, pack_tokens: int
) -> list[Step]:
    """The steps of a training run. `epochs` may be fractional: the last one then stops early.

    A step holds about `step_tokens` tokens, in packs of nearly the same size of about `pack_tokens` (a small
    pack costs nearly as much as a full one). Every row is seen once in each whole epoch.
    """
    steps: list[Step] = []
    left = round(epochs * len(lengths))
    epoch = 0
    while left > 0:
        indices = order(len(lengths), seed, epoch)[:left]
        left -= len(indices)
        for rows in _by_tokens(indices, lengths, step_tokens):
            tokens = sum(lengths[row] for row in rows)
            limit = math.ceil(_ROOM * tokens / max(1, round(tokens / pack_tokens)))
            steps.append(Step(epoch, tuple(pack(lengths, rows, limit))))
        epoch += 1
    return steps


def _by_tokens(indices: Sequence[int], lengths: Sequence[int], step_tokens: int) -> list[list[int]]:
    """Cut into steps of about `step_tokens`, all of nearly the same size (no small last one)."""
    total = sum(lengths[index] for index in indices)
    count = max(1, round(total / step_tokens))
    steps: list[list[int]] = [[] for _ in range(count)]
    seen = 0
    for index in indices:
        steps[min(count - 1, seen * count // total)].append(index)
        seen += lengths[index]
    return [step for step in steps if step]
