"""Fields of JSON values: what counts as one, how they are paired, and what counts as right."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from rung.evaluation.fields import ABSENT, Field, compare, counts_of, f1_of, leaves


def test_fields_of_an_object() -> None:
    assert list(leaves({"a": {"b": 1}, "c": [2, {"d": None}], "e": [], "f": {}})) == [
        ("a.b", 1),
        ("c[]", 2),
        ("c[].d", None),
        ("e", []),
        ("f", {}),
    ]
    assert list(leaves({})) == list(leaves([])) == []
    assert list(leaves([{"a": 1}])) == [("[].a", 1)]


@pytest.mark.parametrize(
    ("wanted", "got", "counts"),
    [
        ({"a": "x", "b": 2}, {"b": 2.0, "a": " x "}, (2, 0, 0)),
        ({"a": "é"}, {"a": "e\u0301"}, (1, 0, 0)),
        ({"a": "x"}, {"a": "X"}, (0, 1, 1)),
        ({"a": 1}, {"a": True}, (0, 1, 1)),
        ({"a": 1}, {"a": "1"}, (0, 1, 1)),
        ({"a": 1, "b": 2}, {"a": 1, "c": 2, "d": 3}, (1, 2, 1)),
        ({"a": ["x", "y", "y"]}, {"a": ["y", "x", "x"]}, (2, 1, 1)),
        ({"a": 1, "b": None}, {"a": 1}, (1, 0, 1)),
        ({}, {}, (0, 0, 0)),
        ({}, {"a": 1}, (0, 1, 0)),
        ({"a": {}}, {"a": {}}, (1, 0, 0)),
        ({"a": []}, {"a": [1, 2]}, (0, 2, 1)),
        ({"a": 1}, {"a": {"b": 1, "c": 2}}, (0, 2, 1)),
        ([], [], (0, 0, 0)),
        ([{"a": 1}], {"a": 1}, (0, 1, 1)),
        ({"a": 1, "b": [2, 3]}, ABSENT, (0, 0, 3)),
    ],
)
def test_counts(wanted: Any, got: Any, counts: tuple[int, int, int]) -> None:
    assert counts_of(compare(wanted, got)) == counts


def line(item: str, price: float, **more: Any) -> dict[str, Any]:
    return {"item": item, "price": price, **more}


@pytest.mark.parametrize(
    ("got", "counts"),
    [
        ([line("lamp", 1), line("pane", 2)], (4, 0, 0)),
        ([line("pane", 2), line("lamp", 1)], (4, 0, 0)),
        ([line("lamp", 2), line("pane", 1)], (2, 2, 2)),  # the prices changed places
        ([line("pane", 2)], (2, 0, 2)),
        ([line("pane", 2), line("lamp", 1), line("pane", 2)], (4, 2, 0)),
        ([{"item": "lamp"}, {"price": 1}, line("pane", 2)], (3, 1, 1)),  # one line is not two halves
    ],
)
def test_items_of_a_list_are_paired_as_wholes(got: Any, counts: tuple[int, int, int]) -> None:
    wanted = [line("lamp", 1), line("pane", 2)]
    assert counts_of(compare({"lines": wanted}, {"lines": got})) == counts
    assert counts_of(compare(wanted, got)) == counts


def test_the_pairs_are_the_best_of_all() -> None:
    rng = random.Random(0)
    for _ in range(40):
        wanted, got = (
            [{key: rng.randrange(3) for key in "abcd"} for _ in range(rng.randint(1, 4))] for _ in range(2)
        )
        small, large = sorted((wanted, got), key=len)
        best = max(
            sum(one[key] == other[key] for one, other in zip(small, some, strict=True) for key in one)
            for some in itertools.permutations(large, len(small))
        )
        assert counts_of(compare(wanted, got))[0] == best


def test_lists_inside_items_are_paired_too() -> None:
    wanted = [{"to": "a", "lines": [line("x", 1), line("y", 2)]}, {"to": "b", "lines": [line("z", 3)]}]
    assert counts_of(compare(wanted, wanted[::-1]))[0] == 8
    swapped = [{**wanted[0], "lines": wanted[1]["lines"]}, {**wanted[1], "lines": wanted[0]["lines"]}]
    right, _, missing = counts_of(compare(wanted, swapped))
    assert (right, right + missing) == (6, 8)  # the best is to pair by lines and to miss both names


def test_very_long_lists_are_paired_in_order() -> None:
    wanted = [line(f"n{i}", i) for i in range(60)]
    got = [line(f"n{i}", -1) for i in range(60)]
    assert counts_of(compare(wanted, got)) == (60, 60, 60)


def test_fields_as_json() -> None:
    assert [field.as_json() for field in compare({"a": 1, "b": None}, {"a": 2, "c": [3]})] == [
        {"path": "a", "wanted": 1, "got": 2, "right": False},
        {"path": "b", "wanted": None, "right": False},
        {"path": "c[]", "got": 3, "right": False},
    ]
    assert Field("a", 5, 5.0).right


def test_f1() -> None:
    assert f1_of(2, 1, 1) == pytest.approx(2 / 3)
    assert (f1_of(0, 0, 0), f1_of(0, 1, 0)) == (1.0, 0.0)
