"""What a column's values show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rung.data.facts import SAMPLE, Column, facts

TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
SENTENCES = [f"this is sentence number {n}" for n in range(12)]


def column(*values: Any, name: str = "zebra") -> Column:
    return facts(name, 0, values)


def test_counts() -> None:
    found = column("a b", "a b ", "", None, "  ", "c d e f", float("nan"))
    assert (found.rows, found.filled, found.different) == (7, 3, 2)
    assert found.words == pytest.approx(8 / 3)
    assert found.characters == pytest.approx((3 + 4 + 7) / 3)
    assert found.sample == "'a b'"


def test_words_of_scripts_without_spaces() -> None:
    assert column("房间太吵了点").words == 1 + 3
    assert column("คำตอบคือ").words == 1 + 4


@pytest.mark.parametrize(
    ("values", "true"),
    [
        (["1", 2, "3.5"], {"numbers"}),
        ([True, False, True], {"truths", "few"}),
        (["yes", "no", "yes", "no"], {"truths", "few"}),
        ([TURNS, TURNS], {"turns", "some_turns", "objects"}),
        ([TURNS, *"abcdefghi"], {"some_turns"}),
        ([["a", "b"], ["c"]], {"texts", "objects"}),
        ([[{"start": 0, "end": 1, "label": "X"}], []], {"spans", "objects"}),
        ([{"a": 1}, {"a": 2}], {"objects"}),
        (["2024-01-02", "2024-01-03"], {"dates"}),
        (["https://a.b/c", "www.x.y"], {"dates"}),
        (["Mon Apr 06 22:19:45 PDT 2009", "Tue Apr 07 2009"], {"dates"}),
        (["ada@a.co", "Bo Li <bo@b.org>", "ada@a.co, bo@b.org;"], {"dates"}),
        (["10:30", "11:45:10", "3:05 pm"], {"dates"}),
        (["@ada", "@bo"], {"dates"}),
        (["10.0.0.1", "10.0.0.2"], {"dates"}),
        ([1700000500, "1700000000", 1700000500], {"numbers", "dates"}),
        ([1700000500000, 1700000000000, 1700000500000], {"numbers", "dates"}),
        (["a1", "a2", "a3"], {"ids"}),
        ([1, 2, 5, 9], {"numbers", "ids"}),
        ([3, 1, 2, 4], {"numbers"}),
        ([570306133677760513, 400306133677760513, 170306133677760513], {"numbers", "ids"}),
        (["x", "y", "x", "y", "x", "x"], {"few"}),
        ([0, 1, 1, 0], {"numbers", "few"}),
        (SENTENCES, {"free"}),
        (["房间太吵了隔壁一直唱歌", "早餐很好吃服务员热情", "电梯坏了三天没人修理"], {"free"}),
        ([None, ""], set()),
    ],
)
def test_what_values_are(values: Sequence[Any], true: set[str]) -> None:
    found = column(*values)
    kinds = ["numbers", "truths", "turns", "some_turns", "texts", "spans", "objects", "dates", "ids"]
    assert {kind for kind in (*kinds, "few", "free") if getattr(found, kind)} == true


@pytest.mark.parametrize(
    ("values", "few"),
    [
        (["a", "b"] * 3, True),
        (["a"] * 6, False),
        (["a", "b", "c"], False),
        ([f"l{n}" for n in range(15)] * 3, True),
        ([f"l{n}" for n in range(20)] * 2 + ["x"], False),
        ([f"l{n}" for n in range(201)] * 4, False),
        (["a very long label of more than eight words it is", "b"] * 9, True),
        (
            ["a very long label of more than eight words it is"] * 9
            + ["and another one that is as long as that"] * 9,
            False,
        ),
    ],
)
def test_few(values: list[str], few: bool) -> None:
    assert column(*values).few is few


def test_names_and_looking_at_a_part() -> None:
    found = facts("label", 3, ["a", "b"] * SAMPLE)
    assert (found.rows, found.place) == (SAMPLE, 3)
    assert found.may("prompt", "target")
    assert not found.may("prompt", "context")
    assert found.only("target")
    assert (found.rank("target"), found.rank("prompt")) == (0, 99)
    code = column("x", name="code")
    assert code.may("target")
    assert not code.only("target")
    assert (facts("fr", 0, ["a"]).language, facts("xx", 0, ["a"]).language) == ("French", None)
    assert facts("xx", 0, ["a"], is_language=True).language == "xx"
