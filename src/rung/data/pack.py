"""Which rows go into which forward pass, and which passes into which optimizer step: pure arithmetic.

The plan of a whole training run is a function of (lengths, ids, seed, epochs, sizes) alone, so a run that
continues after a stop sees the same rows in the same order. Inside a step, rows with a common prefix are
put into the same pack: a pass computes what they share once (`rung.data.prefix`), and its size is the number
of tokens that it computes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rung.data.prefix import SHORTEST, agree

_ROOM = 1.1  # packs of a step may be this much fuller than the mean
_WORTH = 0.9  # larger packs must compute at most this part of what others do


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

    A row longer than `limit` gets its own pack; no token is dropped. Packs keep row order inside.
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


def computed(ids: Sequence[tuple[int, ...]], rows: Sequence[int]) -> int:
    """Tokens that one pass over `rows` computes, a common beginning counted once.

    A lower bound, within a few tokens a row: the pass shares no run that is too short to pay.
    """
    ordered = sorted(rows, key=ids.__getitem__)
    return sum(len(ids[row]) for row in rows) - sum(_shared(ids, ordered))


def group(
    lengths: Sequence[int], ids: Sequence[tuple[int, ...]], rows: Sequence[int], pack_tokens: int
) -> list[tuple[int, ...]]:
    """Packs of nearly the same size of about `pack_tokens` computed tokens, from one step's `rows`.

    Rows in the order of their tokens, cut where that makes the largest pack smallest; or first-fit-decreasing
    by length where that computes no more. Packs are up to twice as large where that saves a tenth of the
    tokens, which are beginnings computed again. Packs keep row order inside.
    """
    if not rows:
        return []
    plain = _even(lengths, rows, pack_tokens)
    ordered = sorted(rows, key=ids.__getitem__)
    common = _shared(ids, ordered)
    if not any(common):
        return plain
    sizes = [lengths[row] for row in ordered]
    tokens = sum(sizes) - sum(common)
    counts = max(1, round(tokens / pack_tokens)), math.ceil(tokens / (2 * pack_tokens))
    usual, few = (
        [tuple(sorted(ordered[start:stop])) for start, stop in _cut_evenly(sizes, common, count)]
        for count in counts
    )
    alone, together, fewest = (sum(computed(ids, one) for one in way) for way in (plain, usual, few))
    if fewest <= _WORTH * min(alone, together):
        return few
    return usual if together < alone else plain


def _even(lengths: Sequence[int], rows: Sequence[int], pack_tokens: int) -> list[tuple[int, ...]]:
    tokens = sum(lengths[row] for row in rows)
    return pack(lengths, rows, math.ceil(_ROOM * tokens / max(1, round(tokens / pack_tokens))))


def _shared(ids: Sequence[tuple[int, ...]], ordered: Sequence[int]) -> list[int]:
    """For each of the ordered rows, how many tokens it begins with that the row before it has too."""
    shared = [0] if ordered else []
    for before, row in pairwise(ordered):
        same = agree(ids[before], ids[row])
        shared.append(same if same >= SHORTEST else 0)
    return shared


def _cut_evenly(lengths: Sequence[int], shared: Sequence[int], count: int) -> list[tuple[int, int]]:
    """At most `count` runs of rows, of which the largest computes as few tokens as can be."""
    low, high = max(max(lengths), (sum(lengths) - sum(shared)) // count), sum(lengths)
    while low < high:
        middle = (low + high) // 2
        if len(_cut(lengths, shared, middle)) <= count:
            high = middle
        else:
            low = middle + 1
    return _cut(lengths, shared, low)


def _cut(lengths: Sequence[int], shared: Sequence[int], limit: int) -> list[tuple[int, int]]:
    """Runs of rows, as full as `limit` computed tokens allow; the first row of each is computed whole."""
    starts, size = [0], lengths[0]
    for row in range(1, len(lengths)):
        size += lengths[row] - shared[row]
        if size > limit:
            starts.append(row)
            size = lengths[row]
    return list(pairwise([*starts, len(lengths)]))


def order(rows: int, seed: int, epoch: int) -> list[int]:
    """Row indices in the order of an epoch: a pure function of its arguments."""
    indices = list(range(rows))
    random.Random(f"{seed}/{epoch}").shuffle(indices)
    return indices


def plan(
    lengths: Sequence[int],
    ids: Sequence[tuple[int, ...]] | None = None,
    *,
    seed: int,
    epochs: float,
    step_tokens: int,
    pack_tokens: int,
) -> list[Step]:
    """The steps of a training run. `epochs` may be fractional: the last one then stops early.

    A step holds about `step_tokens` tokens, in packs of nearly the same size of about `pack_tokens` (a small
    pack costs nearly as much as a full one). Every row is seen once in each whole epoch. With the rows' `ids`
    packs are made by `group`; which rows a step holds does not depend on them.
    """
    steps: list[Step] = []
    left = round(epochs * len(lengths))
    epoch = 0
    while left > 0:
        indices = order(len(lengths), seed, epoch)[:left]
        left -= len(indices)
        for rows in _by_tokens(indices, lengths, step_tokens):
            packs = (
                _even(lengths, rows, pack_tokens) if ids is None else group(lengths, ids, rows, pack_tokens)
            )
            steps.append(Step(epoch, tuple(packs)))
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
