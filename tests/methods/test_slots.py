"""Slots: one adapter is on at a time."""

from __future__ import annotations

import pytest
from torch import nn

from rung.errors import UsageError
from rung.methods.slots import Slots, slots_of


class Light:
    def __init__(self, slot: str) -> None:
        self.slot = slot
        self.on = False

    def switch(self, on: bool) -> None:
        assert self.on is not on
        self.on = on


def test_the_newest_is_on_and_any_other_can_be_asked_for() -> None:
    slots, a, b = Slots(), Light("a"), Light("b")
    slots.take(a)
    slots.take(b)
    assert (a.on, b.on, slots.on, slots.names) == (False, True, "b", ["a", "b"])
    assert slots.held is b
    slots.use("a")
    slots.use("a")
    assert (a.on, b.on) == (True, False)
    slots.use(None)
    assert (a.on, b.on, slots.on, slots.held) == (False, False, None, None)


def test_a_freed_slot_can_be_taken_again() -> None:
    slots, a, b = Slots(), Light("a"), Light("b")
    slots.take(a)
    slots.take(b)
    assert slots.release(a)
    assert (b.on, slots.names) == (True, ["b"])
    assert not slots.release(a)
    assert slots.release(b)
    assert (b.on, slots.on) == (False, None)
    slots.take(Light("a"))


def test_a_name_twice_and_an_unknown_one_are_refused() -> None:
    slots = Slots()
    slots.take(Light("a"))
    with pytest.raises(UsageError, match="a slot called 'a' is on this base already"):
        slots.take(Light("a"))
    with pytest.raises(UsageError, match=r"no slot is called 'b'\. There are: a"):
        slots.use("b")


def test_every_model_has_its_own() -> None:
    one, two = nn.Identity(), nn.Identity()
    assert slots_of(one) is slots_of(one)
    assert slots_of(one) is not slots_of(two)
