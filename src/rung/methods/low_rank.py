"""The trained low-rank update of a frozen weight W, forward and backward.

    y  = x W^T + s (x A^T) B^T          s = alpha / r, or alpha / sqrt(r) (rsLoRA, arXiv 2312.03732)
    dx = dy W + s (dy B) A     dA = s (dy B)^T x     dB = s dy^T (x A^T)

Only x is kept for the backward pass; x A^T is computed again. W gets no gradient. Layers that read the same x
(queries, keys, values; gate, up) are one product with their A stacked. A and B are fp32 and are cast to the
base's dtype once after every change.

With a start (`rung.methods.starts`) the update is s (x A^T) B^T - s (x A0^T) B0^T, both terms formed in the
same way, so that it begins at exactly 0. With dropout (`rung.methods.dropout`), its x lacks some numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from rung.compute.by_row import ByRow
from rung.compute.changes import Change
from rung.compute.linears import Linear, product, shape_of, weight_of
from rung.methods.changes import wide_of
from rung.methods.dropout import Dropout


@dataclass
class Clock:
    """Counts the changes of A and B, so that they are cast to the base's dtype once after each."""

    ticks: int = 0


class LowRankChange(Change):
    """A and B at one layer; the names of the parameters are PEFT's."""

    start: tuple[Tensor, Tensor] | None = None  # A0 (r, in) and B0 (out, r), which stay
    dropout: Dropout | None = None
    place = ""  # a name of the layer, by which dropout differs

    def __init__(
        self, base: Linear, rank: int, scale: float, generator: torch.Generator, clock: Clock | None = None
    ) -> None:
        super().__init__()
        self.scale = scale
        self.clock = clock or Clock()
        outputs, inputs = shape_of(base)
        wide = wide_of(base)
        bound = 1 / math.sqrt(inputs)  # kaiming_uniform(a=sqrt(5)), as in the paper's code
        a = torch.empty(rank, inputs, dtype=wide["dtype"]).uniform_(-bound, bound, generator=generator)
        self.a = nn.Parameter(a.to(wide["device"]))
        self.b = nn.Parameter(torch.zeros(outputs, rank, **wide))
        self._alone = LowRank([self], [outputs])

    def run(self, base: Linear, x: Tensor) -> Tensor:
        y: Tensor = _LoraFunction.apply(x, base, self._alone, self.a, self.b)  # type: ignore[no-untyped-call]
        return y

    @staticmethod
    def joint(changes: Sequence[Change | None], sizes: Sequence[int]) -> LowRank:
        return LowRank(changes, sizes)

    @staticmethod
    def of_rows(updates: Sequence[Any]) -> LowRankOfRows | None:
        """None for those that have a start: it is not in the one product."""
        present = [update for update in updates if update is not None]
        return None if any(update.has_start for update in present) else LowRankOfRows(updates)

    def delta(self) -> Tensor:
        """The update (out, in) that merging adds to the weight."""
        delta = (self.b @ self.a) * self.scale
        return delta if self.start is None else delta - (self.start[1] @ self.start[0]) * self.scale

    def merged(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return weight + self.delta(), bias


class LowRank:
    """The update of layers that read the same x: their A are one product, [A1; A2; ...].

    It works on plain tensors; x (T, in), y (T, sum of out).
    """

    def __init__(self, changes: Sequence[Change | None], sizes: Sequence[int]) -> None:
        self._layers: list[tuple[LowRankChange, slice]] = []  # with the columns of y that are its own
        at = 0
        for change, size in zip(changes, sizes, strict=True):
            if isinstance(change, LowRankChange):
                self._layers.append((change, slice(at, at + size)))
            at += size
        self._cast: Cast | None = None

    @property
    def has_start(self) -> bool:
        return any(layer.start is not None for layer, _ in self._layers)

    @property
    def leaves(self) -> tuple[nn.Parameter, ...]:
        """A and B of every layer."""
        return tuple(parameter for layer, _ in self._layers for parameter in (layer.a, layer.b))

    def forward(self, x: Tensor, y: Tensor) -> None:
        """y += (x A^T) B^T."""
        cast, factors = self.now(x.dtype), self._factors(x)
        kept = x if factors is None else x * factors
        if cast.start is None:
            cast.add(kept, y)
        else:
            update, start = torch.zeros_like(y), torch.zeros_like(y)
            cast.add(kept, update)
            cast.start.add(kept, start)
            y += update.sub_(start)

    def backward(self, x: Tensor, dy: Tensor, dx: Tensor | None) -> tuple[Tensor, ...]:
        """Gradients of the leaves; dx += (dy B) A where it is given."""
        cast, factors = self.now(x.dtype), self._factors(x)
        kept = x if factors is None else x * factors
        dyb = cast.times_b(dy)
        da, xa = dyb.T @ kept, kept @ cast.a.T
        if dx is not None and factors is None and cast.start is None:
            dx.addmm_(dyb, cast.a)
        elif dx is not None:
            back = dyb @ cast.a
            if cast.start is not None:
                back -= cast.start.times_b(dy) @ cast.start.a
            dx += back if factors is None else back * factors
        grads: list[Tensor] = []
        for layer, _, rows, columns in cast.parts:
            grads.append(da[rows].to(layer.a.dtype))
            db = xa[:, rows].T @ dy[:, columns]  # B^T's: products with more columns than rows are faster
            grads.append(db.T.to(layer.b.dtype) * layer.scale)
        return tuple(grads)

    def now(self, dtype: torch.dtype) -> Cast:
        """A and B as they are now."""
        state = (dtype, [layer.clock.ticks for layer, _ in self._layers])
        if self._cast is None or self._cast.state != state:
            with torch.no_grad():
                cast = self._stacked(state, [(layer.a, layer.b) for layer, _ in self._layers], dtype)
                starts = [layer.start for layer, _ in self._layers if layer.start is not None]
                if starts:
                    cast.start = self._stacked(state, starts, dtype)
            self._cast = cast
        return self._cast

    def _stacked(
        self, state: tuple[object, ...], pairs: Sequence[tuple[Tensor, Tensor]], dtype: torch.dtype
    ) -> Cast:
        """One pair (r, in), (out, r) for each layer."""
        parts = []
        row = 0
        for (layer, columns), (a, b) in zip(self._layers, pairs, strict=True):
            rows = slice(row, row := row + len(a))
            parts.append((layer, (b * layer.scale).to(dtype), rows, columns))
        return Cast(state, torch.cat([a for a, _ in pairs]).to(dtype), parts)

    def _factors(self, x: Tensor) -> Tensor | None:
        """What x (T, in) of the update is multiplied by; the layers share it."""
        first = self._layers[0][0]
        return None if first.dropout is None else first.dropout.factors(x, first.place)


@dataclass(eq=False)
class Cast:
    """A (sum of r, in), and each layer with s B (out, r), its rows of A and its columns of y."""

    state: tuple[object, ...]
    a: Tensor
    parts: list[tuple[LowRankChange, Tensor, slice, slice]]
    start: Cast | None = None

    def add(self, x: Tensor, y: Tensor) -> None:
        """y (T, sum of out) += (x A^T) B^T, in place."""
        xa = x @ self.a.T
        for _, b, rows, columns in self.parts:
            y[:, columns].addmm_(xa[:, rows], b.T)

    def times_b(self, dy: Tensor) -> Tensor:
        """dy (T, sum of out) -> dy B (T, sum of r)."""
        return torch.cat([dy[:, columns] @ b for _, b, _, columns in self.parts], 1)


class LowRankOfRows:
    """The updates of several slots: their A are one product too, of which a row keeps its own slot's columns.

    The wider product costs less than one for each slot, with few rows most of all.
    """

    def __init__(self, updates: Sequence[LowRank | None]) -> None:
        self._updates = updates
        self._casts: list[Cast | None] = []
        self._a = torch.empty(0)  # (sum of r of all layers and slots, in)
        self._owners: tuple[int, ...] = ()  # of the rows of A: the place of their slot
        self._parts: list[tuple[Tensor, slice, slice]] = []  # s B^T (r, out), rows of A, columns of y

    def forward(self, x: Tensor, y: Tensor, rows: ByRow) -> None:
        """y += (x A^T) B^T, with A and B of each row's slot."""
        self._stack(x.dtype)
        xa = (x @ self._a.T).masked_fill_(rows.others(self._owners), 0)
        for b, of_a, columns in self._parts:
            y[:, columns].addmm_(xa[:, of_a], b)

    def _stack(self, dtype: torch.dtype) -> None:
        """Bring A and B up to date."""
        casts = [None if update is None else update.now(dtype) for update in self._updates]
        if casts == self._casts:
            return
        self._casts = casts
        parts = [(place, cast, part) for place, cast in enumerate(casts) if cast for part in cast.parts]
        parts.sort(key=lambda one: one[2][3].start)  # the slots of a layer next to each other
        a: list[Tensor] = []
        owners: list[int] = []
        self._parts = []
        for columns, some in groupby(parts, key=lambda one: one[2][3]):
            first, bs = len(owners), []
            for place, cast, (_, b, of_a, _) in some:
                a.append(cast.a[of_a])
                bs.append(b.T)
                owners += [place] * b.shape[1]
            self._parts.append((torch.cat(bs), slice(first, len(owners)), columns))
        self._a, self._owners = torch.cat(a), tuple(owners)


class _LoraFunction(Function):
    """One layer on its own; x (..., in) -> (..., out)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, base: Linear, update: LowRank, *leaves: Tensor) -> Tensor:
        ctx.base, ctx.update = base, update
        ctx.save_for_backward(x)
        y = product(base, x)
        update.forward(x.reshape(-1, x.shape[-1]), y.view(-1, y.shape[-1]))
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        dy = grads[0].reshape(-1, grads[0].shape[-1])
        dx = dy @ weight_of(ctx.base) if ctx.needs_input_grad[0] else None
        leaves = ctx.update.backward(x.reshape(-1, x.shape[-1]), dy, dx)
        return None if dx is None else dx.view(x.shape), None, None, *leaves
