"""Passes whose rows use different adapters: which slot the row of each token uses.

Sites (`rung.compute.sites`) ask `now` while a pass runs. They tell the rows apart by the order of the tokens
that they read, which is that of the pass. Such passes have no gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from torch import Tensor


class NotByRow(Exception):
    """Why the rows of one pass cannot use different adapters on this base; a part of a sentence."""


@dataclass(frozen=True, eq=False)
class ByRow:
    """The slot of each token's row."""

    slots: tuple[str, ...]
    of: Tensor  # (T,) for each token of a pass the place of its slot in `slots`; -1 for the plain base
    _others: dict[tuple[int, ...], Tensor] = field(default_factory=dict)  # made once for all layers

    @classmethod
    def spread(
        cls,
        slots: Sequence[str],
        rows: Sequence[str | None],
        lengths: Sequence[int],
        device: torch.device | str,
    ) -> ByRow:
        """For a pass over rows of so many tokens, each with its slot, one of `slots`."""
        places = torch.tensor([-1 if slot is None else slots.index(slot) for slot in rows])
        return cls(tuple(slots), places.repeat_interleave(torch.tensor(lengths)).to(device))

    def chosen(self, places: Tensor) -> ByRow:
        """For the tokens at `places` (N,) alone."""
        return ByRow(self.slots, self.of[places])

    def of_slot(self, place: int) -> Tensor:
        """The places (N,) of the tokens of one slot; of the plain base for -1."""
        return (self.of == place).nonzero()[:, 0]

    def others(self, owners: tuple[int, ...]) -> Tensor:
        """(T, columns): whether a column is not the token's own slot's; slot ``owners[c]`` has column c."""
        if owners not in self._others:
            self._others[owners] = self.of[:, None] != torch.tensor(owners, device=self.of.device)
        return self._others[owners]


_now: ContextVar[ByRow | None] = ContextVar("rows", default=None)


def now() -> ByRow | None:
    """That of the pass that runs now; None where all its rows use the slot that is on."""
    return _now.get()


def narrow(places: Tensor) -> None:
    """From here to the end of the pass, layers read the tokens at `places` (N,) alone."""
    rows = _now.get()
    if rows is not None:
        _now.set(rows.chosen(places))


@contextmanager
def using(rows: ByRow | None) -> Iterator[None]:
    """The pass inside uses these slots. Raises ValueError where gradients are on."""
    if rows is not None and torch.is_grad_enabled():
        raise ValueError("the rows of a pass with gradients use one slot")
    token = _now.set(rows)
    try:
        yield
    finally:
        _now.reset(token)
