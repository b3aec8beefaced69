"""Successive halving: many ways on few rows, the better half on twice as many, and so on (Jamieson and
Talwalkar 2016, arXiv 1502.07943). Each round costs about the same, and the last two see all rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

FEWEST = 16  # rows of the first round at least, where there are so many
FURTHER_ROWS = 96  # of a second stage at most, in which ways are expensive


class Arm(Protocol):
    """Something that can be tried on rows."""

    def read(self, rows: int) -> None:
        """Measure it on the first `rows` rows; what was read before is kept."""
        ...

    def worth(self) -> float:
        """How good it was on these rows, the higher the better."""
        ...


A = TypeVar("A", bound=Arm)


def rounds(arms: int, rows: int) -> list[tuple[int, int]]:
    """The rounds for so many arms and rows: (arms that are left, rows that each of them has read)."""
    halvings = max(0, (arms - 1).bit_length() - 1)  # until two are left
    found: list[tuple[int, int]] = []
    for left in range(halvings, -1, -1):
        read = min(rows, max(FEWEST, round(rows / 2**left)))
        if not found or found[-1][1] < rows:
            found.append((arms, read))
        arms = -(-arms // 2)
    return found


def best_of(arms: Sequence[A], rows: int) -> A:
    """The best of `arms`, the first of equals. One arm alone reads nothing."""
    left = list(arms)
    for count, read in rounds(len(left), rows) if len(left) > 1 else ():
        left = sorted(left, key=lambda arm: -arm.worth())[:count] if len(left) > count else left
        left.sort(key=list(arms).index)
        for arm in left:
            arm.read(read)
    return max(left, key=lambda arm: arm.worth()) if len(left) > 1 else left[0]
