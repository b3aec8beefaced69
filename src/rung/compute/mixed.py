"""The changes of several slots at one linear layer, each on the rows of a pass that use its slot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from rung.compute import by_row
from rung.compute.by_row import ByRow, NotByRow
from rung.compute.changes import Change, OfRows, Update, kind_of
from rung.compute.linears import Linear, product


class Mixed(Change):
    """`of` holds one change for each slot of a pass, None where a slot leaves the layer as it is."""

    def __init__(self, changes: Sequence[Change | None], outputs: int) -> None:
        super().__init__()
        self.__dict__["of"] = list(changes)  # outside of the module tree: nothing is trained here
        self.__dict__["_alone"] = self.joint([self], [outputs])
        self._outputs = outputs

    of: list[Change | None]
    _alone: _Joint | None

    def run(self, base: Linear, x: Tensor) -> Tensor:
        """Raises `NotByRow` where x does not hold the tokens of the pass."""
        flat = x.reshape(-1, x.shape[-1])
        rows = _rows_of(flat)
        if self._alone is not None:
            y = product(base, x)
            self._alone.forward(flat, y.view(-1, y.shape[-1]))
            return y
        y = flat.new_empty(len(flat), self._outputs)
        for place, change in zip((*range(len(self.of)), -1), (*self.of, None), strict=True):
            if len(some := rows.of_slot(place)):
                y[some] = product(base, flat[some]) if change is None else change.run(base, flat[some])
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def joint(changes: Sequence[Any], sizes: Sequence[int]) -> _Joint | None:
        """One update of each slot."""
        present: Any = [change for change in changes if change is not None]
        updates: list[Update | None] = []
        for place in range(len(present[0].of)):
            own = [None if change is None else change.of[place] for change in changes]
            updates.append(kind_of(own).joint(own, sizes) if any(own) else None)
            if any(own) and updates[-1] is None:
                return None
        return _Joint(updates, present)


class _Joint:
    """The joint updates of several slots."""

    leaves: tuple[nn.Parameter, ...] = ()

    def __init__(self, updates: Sequence[Update | None], changes: Sequence[Mixed]) -> None:
        self._updates = updates
        kind = kind_of(change for mixed in changes for change in mixed.of)
        self._together: OfRows | None = kind.of_rows(updates)

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Raises `NotByRow` where x does not hold the tokens of the pass."""
        rows = _rows_of(x)
        if self._together is not None:
            self._together.forward(x, y, rows)
            return
        for place, update in enumerate(self._updates):
            if update is not None and len(some := rows.of_slot(place)):
                part = y[some]
                update.forward(x[some], part)
                y[some] = part

    def backward(self, x: Tensor, dy: Tensor, dx: Tensor | None) -> tuple[Tensor, ...]:
        raise ValueError("the rows of a pass with gradients use one slot")


def _rows_of(x: Tensor) -> ByRow:
    """The rows of the pass that runs now, which has the tokens x (T, in)."""
    rows = by_row.now()
    assert rows is not None  # else no site would compute this
    if len(rows.of) != len(x):
        raise NotByRow("a linear layer of the base does not read all tokens of a pass")
    return rows
