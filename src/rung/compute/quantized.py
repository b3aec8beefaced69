"""A base held in 4 or 8 bits: its frozen linear layers keep codes and scales, and no weight.

    y = x W^T + b          dx = dy W          W is made from its codes for each product, and freed after it

So LoRA over such a base is QLoRA (arXiv 2305.14314). W takes no gradient and cannot be written. What a number
is rounded to: `rung.compute.blockwise`.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import linear
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from rung.compute.blockwise import FORMATS
from rung.compute.names import layer_of, replace

Bits = Literal[4, 8]


class QuantizedLinear(nn.Module):
    """x W^T + b with W (out, in) held in few bits; `dtype` is that of x, y and of W while it is there."""

    codes: Tensor

    def __init__(
        self, weight: Tensor, bias: Tensor | None, bits: Bits, dtype: torch.dtype | None = None
    ) -> None:
        """`dtype` is the weight's own where it is not given."""
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.bits, self.dtype = bits, dtype or weight.dtype
        bias = None if bias is None else bias.detach().to(self.dtype)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        parts = FORMATS[bits].pack(weight.detach().contiguous().view(-1))
        self._names = tuple(parts)
        for name, part in parts.items():
            self.register_buffer(name, part)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out)."""
        y: Tensor = _Product.apply(x, self.bias, self)  # type: ignore[no-untyped-call]
        return y

    @property
    def weight(self) -> Tensor:
        """W (out, in), made now; what is written into it is lost."""
        return self.write(torch.empty(self.shape, dtype=self.dtype, device=self.codes.device))

    @property
    def shape(self) -> torch.Size:
        """Of W: (out, in)."""
        return torch.Size((self.out_features, self.in_features))

    @torch.no_grad()
    def write(self, out: Tensor) -> Tensor:
        """Write W into `out` (out, in), which is contiguous; returns it."""
        FORMATS[self.bits].unpack({name: getattr(self, name) for name in self._names}, out.view(-1))
        return out

    def opened(self) -> nn.Linear:
        """A linear layer with W as its weight, for what has to change it."""
        layer = nn.Linear(self.in_features, self.out_features, bias=False, device="meta")
        layer.weight = nn.Parameter(self.weight, requires_grad=False)
        layer.register_parameter("bias", self.bias)
        return layer

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bits={self.bits}"


class _Product(Function):
    """One layer on its own; nothing is kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor | None, layer: QuantizedLinear) -> Tensor:
        ctx.layer = layer
        return linear(x, layer.weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        dx = grads[0] @ ctx.layer.weight if ctx.needs_input_grad[0] else None
        db = grads[0].flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        return dx, db, None


def quantize(
    model: PreTrainedModel, bits: Bits, device: torch.device | str, dtype: torch.dtype | None = None
) -> int:
    """Hold the linear layers of all decoder layers of a frozen `model` in `bits`, on `device`; how many.

    They compute in `dtype`, which may be wider than what their weights are in now: so no weight of a base has
    to be in it all at once. None: as their weights.
    The embeddings, the head, the norms and fused experts stay as they are. Layers that change how they
    multiply are no plain linear layers and stay too.
    """
    names = [
        name
        for name, module in model.named_modules()
        if layer_of(name) is not None and (type(module) is nn.Linear or isinstance(module, Conv1D))
    ]
    for name in names:  # one at a time: each weight is freed before the next is read
        replace(model, name, _held(model.get_submodule(name), bits, device, dtype))
    return len(names)


def _held(layer: Any, bits: Bits, device: torch.device | str, dtype: torch.dtype | None) -> QuantizedLinear:
    weight = layer.weight.detach().to(device)
    bias = None if layer.bias is None else layer.bias.detach().to(device)
    return QuantizedLinear(weight.T if isinstance(layer, Conv1D) else weight, bias, bits, dtype)


def bits_of(model: nn.Module) -> Bits | None:
    """In how many bits a model's linear layers are held; None where they are as their number format says."""
    return next((one.bits for one in model.modules() if isinstance(one, QuantizedLinear)), None)


def bytes_of(model: nn.Module) -> int:
    """Bytes of a model's weights as they are held."""
    codes = (part for one in model.modules() if isinstance(one, QuantizedLinear) for part in one.buffers())
    return sum(part.nbytes for part in (*model.parameters(), *codes))
