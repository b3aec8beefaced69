"""Which rows rungs are compared on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rung.ladder import regret
from rung.ladder.bench import Bench
from rung.records import Answer, Example, Message, Task

MOOD = Task("classification", "", ("accuracy",), labels=("good", "bad"))


def bench(right: Mapping[str, Mapping[int, bool]], rows: int = 20) -> Bench:
    """Rungs that answered some of `rows` rows, right or wrong."""
    examples = [
        Example(f"{i:04x}", (Message("user", str(i)), Message("assistant", "good")), i) for i in range(rows)
    ]
    answers = {
        rung: [Answer(f"{i:04x}", "", "ok", "", {"accuracy": float(hit)}) for i, hit in some.items()]
        for rung, some in right.items()
    }
    return Bench(MOOD, examples, answers, 0)


def test_rungs_with_nearly_all_rows_share_them_and_one_with_few_is_a_part() -> None:
    every = dict.fromkeys(range(20), True)
    board = bench(
        {"a": every, "b": dict.fromkeys(range(1, 20), False), "c": {i: i > 5 for i in range(5, 10)}}
    ).board(["a", "b", "c"])
    assert (board.names, board.rows, board.fewer) == (("a", "b", "c"), 19, {"c": 5})
    first, second, part = board.given
    assert isinstance(first, np.ndarray)
    assert isinstance(second, np.ndarray)
    assert (first[:, 0].sum(), second[:, 0].sum()) == (19, 0)
    assert isinstance(part, regret.Part)
    assert part.places.tolist() == [4, 5, 6, 7, 8]  # row 0 is not shared
    assert part.rows[:, 0].tolist() == [0, 1, 1, 1, 1]
    assert part.other[:, 0].tolist() == [1, 1, 1, 1, 1]
    assert board.names[part.whole] == "a"  # the best of those with all rows


def test_rungs_without_rows_in_common_are_not_on_the_board() -> None:
    low, high = dict.fromkeys(range(10), True), dict.fromkeys(range(10, 20), True)
    assert bench({"a": low, "b": high}).board(["a", "b"]).names == ()
    odd = bench({"a": low, "b": low, "c": {15: True}}).board(["a", "b", "c"])
    assert odd.names == ("a", "b")
    assert bench({"a": low, "b": high}).compare("a", "b") is None


def test_the_answers_stand_in_the_order_of_the_rows() -> None:
    shuffled = {9: True, 3: False, 5: True}
    made = bench({"a": shuffled})
    ids = made.shared(["a"])
    assert ids == ("0003", "0005", "0009")
    assert made.rows("a", ids)[:, 0].tolist() == [0, 1, 1]
