"""DoRA (Liu et al. 2024, arXiv 2402.09353): the length of each row of W is trained apart from its direction.

    y = m / |W + D| * (x (W + D)^T) + bias          D = s B A, as in LoRA; |.| is the length of each row

As in the paper and in PEFT, |W + D| counts as a constant in the backward pass. It is computed once after
every change. m begins as |W|. Dropout is before A alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rung.compute.changes import Change
from rung.compute.linears import Linear, weight_of
from rung.compute.quantized import QuantizedLinear
from rung.methods.low_rank import LowRankChange


class DoraChange(LowRankChange):
    """A, B and m at one layer."""

    def __init__(self, base: Linear, *rest: Any) -> None:
        super().__init__(base, *rest)
        self.__dict__["base"] = base  # outside of the module tree: it is not trained
        self._lengths: tuple[object, Tensor] | None = None
        self.m = nn.Parameter(self.lengths().clone())

    base: Linear

    def run(self, base: Linear, x: Tensor) -> Tensor:
        if base is not self.base:  # another adapter was merged into a layer held in few bits
            self.__dict__["base"], self._lengths = base, None
        return Change.run(self, base, x)

    @staticmethod
    def joint(changes: Any, sizes: Any) -> None:  # type: ignore[override]
        """None: it is no sum."""

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        factor = self.m / self.lengths()  # (out,)
        plain = y if self.base.bias is None else y - self.base.bias
        return y + ((factor - 1).to(y.dtype) * plain + factor.to(y.dtype) * self.update(x))

    def update(self, x: Tensor) -> Tensor:
        """x (..., in) -> x D^T (..., out)."""
        factors = None if self.dropout is None else self.dropout.factors(x, self.place)
        kept = x if factors is None else x * factors

        def term(a: Tensor, b: Tensor) -> Tensor:
            return linear(linear(kept, a.to(x.dtype)), (b * self.scale).to(x.dtype))

        found = term(self.a, self.b)
        return found if self.start is None else found - term(*self.start)

    def lengths(self) -> Tensor:
        """|W + D| (out,), without a gradient."""
        held = isinstance(self.base, QuantizedLinear)  # whose weight stays, and is made where it is read
        now = (self.clock.ticks, 0 if held else self.base.weight._version)
        if self._lengths is None or self._lengths[0] != now:
            # kept for passes with gradients too, so it must not be a tensor of inference alone
            with torch.inference_mode(False), torch.no_grad():
                wide = weight_of(self.base).to(self.a.dtype) + self.delta()
                self._lengths = now, torch.linalg.vector_norm(wide, dim=1)
        return self._lengths[1]

    def begun(self) -> Tensor:
        """What m begins as: |W| (out,)."""
        with torch.no_grad():
            found: Tensor = torch.linalg.vector_norm(weight_of(self.base).to(self.a.dtype), dim=1)
            return found

    def merged(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        changed = weight + self.delta()
        factor = self.m / torch.linalg.vector_norm(changed.detach(), dim=1)
        return factor[:, None] * changed, bias
