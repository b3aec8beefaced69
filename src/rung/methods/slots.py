"""The adapters on a model, each in a slot with a name. One is on at a time, or none: nothing nests.

A pass can say for each of its rows which slot it uses (`rung.compute.by_row`), where the adapters allow it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakKeyDictionary

from torch import nn

from rung.errors import UsageError

ONLY = "only"  # the name of a slot where a model has one adapter


class Held(Protocol):
    """What sits in a slot."""

    slot: str
    by_row: bool  # a pass can have rows of other slots besides its own

    def switch(self, on: bool) -> None:
        """Put it into the forward pass, or leave it out."""
        ...


class Slots:
    """The slots of one model."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        self.on: str | None = None  # the slot that answers

    @property
    def names(self) -> list[str]:
        return list(self._held)

    @property
    def held(self) -> Held | None:
        """The adapter that is on."""
        return None if self.on is None else self._held[self.on]

    def require_free(self, slot: str) -> None:
        """Raises `UsageError` where the name is taken."""
        if slot in self._held:
            raise UsageError(
                f"a slot called {slot!r} is on this base already",
                fix="Give the adapter another name, or detach the first one",
            )

    def take(self, held: Held) -> None:
        """Put an adapter into its slot and turn it on; the one that was on goes off."""
        self.require_free(held.slot)
        self.use(None)
        self._held[held.slot] = held
        self.on = held.slot
        held.switch(True)

    def use(self, slot: str | None) -> None:
        """Let `slot` answer from now on; None for the plain base. Raises `UsageError` for an unknown one."""
        if slot is not None:
            self.require(slot)
        if slot == self.on:
            return
        if self.on is not None:
            self._held[self.on].switch(False)
        self.on = slot
        if slot is not None:
            self._held[slot].switch(True)

    @contextmanager
    def using(self, slot: str | None) -> Iterator[None]:
        """`slot` answers for as long as the context lasts."""
        before = self.on
        self.use(slot)
        try:
            yield
        finally:
            self.use(before)

    def require(self, slot: str) -> None:
        """Raises `UsageError` for an unknown slot."""
        if slot not in self._held:
            raise UsageError(
                f"no slot is called {slot!r}", fix=f"There are: {', '.join(self._held) or 'none'}"
            )

    def together(self, rows: Sequence[str | None]) -> list[list[int]]:
        """Rows, each with its slot, in groups that one pass can read.

        Raises `UsageError` for an unknown slot.
        """
        groups: dict[str | None, list[int]] = {}
        for i, slot in enumerate(rows):
            if slot is not None:
                self.require(slot)
            alone = slot is not None and not self._held[slot].by_row
            groups.setdefault(slot if alone else None, []).append(i)
        return list(groups.values())

    def release(self, held: Held) -> bool:
        """Turn an adapter off and free its slot; False where it has none (any more)."""
        if self._held.get(held.slot) is not held:
            return False
        if self.on == held.slot:
            self.use(None)
        del self._held[held.slot]
        return True


_slots: WeakKeyDictionary[nn.Module, Slots] = WeakKeyDictionary()


def slots_of(model: nn.Module) -> Slots:
    """The slots of `model`."""
    if model not in _slots:
        _slots[model] = Slots()
    return _slots[model]
