"""Common beginnings of rows of token ids: pure arithmetic.

A pass over rows runs over their **prefix tree**. A node is a run of tokens that is computed once in the pass;
the rows through it have the same tokens up to its end. Sharing nests, whole rows may be the same, and a row
may end where another continues. `rung.compute.tree` gives the nodes their places and their attention.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

SHORTEST = 8  # tokens; a shorter common run costs about as much as it saves
LONGEST = 128  # tokens; a longer node is cut into a chain: the masked half of its attention is wasted


@dataclass(frozen=True, slots=True)
class Node:
    """A run of tokens: it follows node `parent` (-1: none) and has `length` tokens from place `start` on."""

    parent: int
    start: int
    length: int
    depth: int  # tokens of a row before its first one
    rows: tuple[int, ...]  # those that pass through it


def agree(first: Sequence[int], last: Sequence[int]) -> int:
    """Tokens that both begin with."""
    shorter = min(len(first), len(last))
    if first[:shorter] == last[:shorter]:
        return shorter
    return next(i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)


def common_length(rows: Sequence[Sequence[int]]) -> int:
    """Tokens that all `rows` begin with."""
    first, last = min(map(tuple, rows)), max(map(tuple, rows))  # in this order these two differ the earliest
    return agree(first, last)


def pieces(length: int) -> list[int]:
    """Cut a run of `length` tokens into parts of `LONGEST`, the last one up to a quarter longer."""
    parts = []
    while length > LONGEST * 5 // 4:
        parts.append(LONGEST)
        length -= LONGEST
    return [*parts, length]


def nodes_of(rows: Sequence[tuple[int, ...]], shortest: int = SHORTEST) -> list[Node]:
    """The tree of `rows`, none empty: cut where rows differ, if they share at least `shortest` tokens.

    Nodes come in breadth-first order, one after the other in the pass. Rows that are equal to the end share
    it, however short it is. Long runs become chains of nodes, cut by `pieces`.
    """
    nodes: list[Node] = []
    place = 0
    everyone = sorted(range(len(rows)), key=rows.__getitem__)
    waiting = deque((-1, 0, end, group) for end, group in _runs(rows, everyone, 0, shortest))
    while waiting:
        parent, depth, end, group = waiting.popleft()
        length = pieces(end - depth)[0]
        nodes.append(Node(parent, place, length, depth, tuple(group)))
        place += length
        here, depth = len(nodes) - 1, depth + length
        rest = [(end, group)] if depth < end else _runs(rows, group, depth, shortest)
        waiting.extend((here, depth, stop, members) for stop, members in rest)
    return nodes


def _runs(
    rows: Sequence[tuple[int, ...]], group: Sequence[int], start: int, shortest: int
) -> Iterator[tuple[int, list[int]]]:
    """How the sorted rows `group`, equal up to `start`, continue: the ends of runs, and the rows in each."""

    def split(group: list[int]) -> Iterator[tuple[int, list[int]]]:
        end = agree(rows[group[0]], rows[group[-1]])
        if end - start >= shortest or end == len(rows[group[-1]]):
            yield end, group
            return
        for _, same in groupby(group, key=lambda row: rows[row][end : end + 1]):
            yield from split(list(same))

    group = [row for row in group if len(rows[row]) > start]
    if group:
        yield from split(group)
