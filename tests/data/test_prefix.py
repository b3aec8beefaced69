"""Arithmetic of common beginnings; passes over the nodes are tested in tests/compute/test_tree.py."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rung.data.prefix import LONGEST, SHORTEST, common_length, nodes_of, pieces


def test_three_rows_become_a_tree() -> None:
    shared = tuple(range(SHORTEST))
    nodes = nodes_of([(*shared, 50, 51), (*shared, 60), (*shared, 50, 52)])
    assert [(n.parent, n.start, n.length, n.depth, n.rows) for n in nodes] == [
        (-1, 0, SHORTEST, 0, (0, 2, 1)),
        (0, SHORTEST, 2, SHORTEST, (0,)),
        (0, SHORTEST + 2, 2, SHORTEST, (2,)),
        (0, SHORTEST + 4, 1, SHORTEST, (1,)),
    ]


def test_common_beginnings() -> None:
    assert common_length([[1, 2, 3], [1, 2, 4], [1, 2]]) == 2
    assert common_length([[1, 2]]) == 2


@pytest.mark.parametrize("length", [1, LONGEST, LONGEST + 1, 1000])
def test_pieces_are_whole_but_for_the_last_which_is_neither_tiny_nor_long(length: int) -> None:
    *whole, last = pieces(length)
    assert sum(whole) + last == length
    assert all(part == LONGEST for part in whole)
    assert last <= LONGEST * 5 // 4
    assert not whole or last > LONGEST // 4


def test_imports_no_torch() -> None:
    code = "import sys, rung.data.prefix; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
