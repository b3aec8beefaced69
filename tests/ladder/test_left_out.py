"""Rows that are left out, each reason once."""

from __future__ import annotations

from rung.ladder.left_out import LeftOut, counted, grouped, lines

UNWANTED = "'label' is false, which marks an answer as unwanted"
ROWS = [
    *(LeftOut("a.csv", row, "its target is empty", "train") for row in (9, 4)),
    *(LeftOut("a.csv", 2 * row, UNWANTED) for row in range(1, 13)),
    LeftOut("test.csv", 4, "its target is empty", "test"),
]


def test_equal_reasons_of_one_file_are_one_group() -> None:
    groups = grouped(ROWS)
    assert [(group["file"], group["rows"]) for group in groups] == [
        ("a.csv", [4, 9]),
        ("a.csv", list(range(2, 26, 2))),
        ("test.csv", [4]),
    ]
    assert grouped([]) == []


def test_a_line_counts_and_names_the_first_rows() -> None:
    assert lines(ROWS, "a.csv") == [
        "2 rows left out: its target is empty (rows 4, 9)",
        f"12 rows left out: {UNWANTED} (rows 2, 4, 6, 8, 10 and 7 more)",
        "1 row of test.csv left out: its target is empty (row 4)",
    ]


def test_counts_are_words() -> None:
    assert [counted(n) for n in (0, 1, 2, 1200)] == ["0 rows", "1 row", "2 rows", "1,200 rows"]
