"""Names are found, taken once, and misspellings are answered with the nearest name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rung.errors import UsageError
from rung.registry import Registry


@pytest.fixture
def colours() -> Registry[int]:
    made: Registry[int] = Registry("colour")
    made.add("red", 1)
    made.add("green", 2)
    return made


def test_items_keep_their_order(colours: Registry[int]) -> None:
    assert list(colours) == ["red", "green"]
    assert list(colours.items()) == [("red", 1), ("green", 2)]
    assert len(colours) == 2
    assert "red" in colours
    assert "blue" not in colours


def test_a_name_can_be_taken_once(colours: Registry[int]) -> None:
    with pytest.raises(ValueError, match="colour 'red' is registered twice"):
        colours.add("red", 3)
    assert colours["red"] == 1


def test_unknown_name_is_answered_with_the_nearest_and_all(colours: Registry[int]) -> None:
    with pytest.raises(UsageError, match=r"unknown colour 'gren'\. Did you mean 'green'\? Known: red, green"):
        colours["gren"]


def test_decorator_registers_and_returns_the_item() -> None:
    makers: Registry[Callable[[], int]] = Registry("maker")

    @makers.register("one")
    def one() -> int:
        return 1

    assert makers["one"] is one
    assert one() == 1
