"""Successive halving."""

from __future__ import annotations

import pytest

from rung.ladder.halving import best_of, rounds


class Arm:
    """Worth what it is told after so many rows; remembers what it read."""

    def __init__(self, *worths: float) -> None:
        self.worths = worths
        self.read_rows: list[int] = []

    def read(self, rows: int) -> None:
        self.read_rows.append(rows)

    def worth(self) -> float:
        return self.worths[min(len(self.read_rows), len(self.worths)) - 1]


@pytest.mark.parametrize(
    ("arms", "rows", "expected"),
    [
        (1, 200, [(1, 200)]),
        (2, 200, [(2, 200)]),
        (4, 200, [(4, 100), (2, 200)]),
        (16, 200, [(16, 25), (8, 50), (4, 100), (2, 200)]),
        (16, 60, [(16, 16), (8, 16), (4, 30), (2, 60)]),
        (5, 10, [(5, 10)]),
    ],
)
def test_the_better_half_reads_twice_as_much(arms: int, rows: int, expected: list[tuple[int, int]]) -> None:
    assert rounds(arms, rows) == expected


def test_the_best_at_the_end_is_the_best() -> None:
    weak, late, early, good = Arm(0.1), Arm(0.5, 0.9), Arm(0.8, 0.4), Arm(0.3)
    assert best_of([weak, late, early, good], 200) is late
    assert [arm.read_rows for arm in (weak, late, early, good)] == [[100], [100, 200], [100, 200], [100]]


def test_of_equals_the_first_wins_and_one_alone_reads_nothing() -> None:
    arms = [Arm(0.5) for _ in range(6)]
    assert best_of(arms, 100) is arms[0]
    alone = Arm(0.0)
    assert best_of([alone], 100) is alone
    assert alone.read_rows == []
