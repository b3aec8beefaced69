"""LoRA (Hu et al. 2021, arXiv 2106.09685): a frozen weight W and a trained low-rank update.

    y  = x W^T + s (x A^T) B^T          s = alpha / r, or alpha / sqrt(r) (rsLoRA, arXiv 2312.03732)
    dx = dy W + s (dy B) A     dA = s (dy B)^T x     dB = s dy^T (x A^T)

Only x is kept for the backward pass; x A^T is computed again. W gets no gradient. A and B are fp32 and are
cast to the base's dtype where they are used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import linear

from rung.methods.method import Method, MethodSettings, require_fit
from rung.methods.targets import linear_layers, replace


class _LoraFunction(Function):
    """The formula at the top of the file; x (..., in), A (r, in), B (out, r) -> (..., out)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, base: nn.Linear, a: Tensor, b: Tensor, scale: float) -> Tensor:
        ctx.base, ctx.scale = base, scale
        ctx.save_for_backward(x, a, b)
        y = linear(x, base.weight, base.bias)
        rows = x.reshape(-1, x.shape[-1])
        y.view(-1, y.shape[-1]).addmm_(rows @ a.to(x.dtype).T, b.to(x.dtype).T, alpha=scale)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, Tensor, Tensor, None]:
        x, a32, b32 = ctx.saved_tensors
        dy = grads[0].reshape(-1, grads[0].shape[-1])
        rows, a, b = x.reshape(-1, x.shape[-1]), a32.to(x.dtype), b32.to(x.dtype)
        dyb = dy @ b
        da = (dyb.T @ rows).to(a32.dtype).mul_(ctx.scale)
        db = (dy.T @ (rows @ a.T)).to(b32.dtype).mul_(ctx.scale)
        dx = None
        if ctx.needs_input_grad[0]:
            dx = (dy @ ctx.base.weight).addmm_(dyb, a, alpha=ctx.scale).view(x.shape)
        return dx, None, da, db, None


class LoraLinear(nn.Module):
    """A linear layer with a low-rank update beside it."""

    def __init__(self, base: nn.Linear, rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        self.base = base
        self.scale = scale
        self.enabled = True
        wide = torch.promote_types(base.weight.dtype, torch.float32)
        bound = 1 / math.sqrt(base.in_features)  # kaiming_uniform(a=sqrt(5)), as in the paper's code
        a = torch.empty(rank, base.in_features, dtype=wide).uniform_(-bound, bound, generator=generator)
        self.a = nn.Parameter(a.to(base.weight.device))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank, dtype=wide, device=base.weight.device))

    def forward(self, x: Tensor) -> Tensor:
        if not self.enabled:
            return linear(x, self.base.weight, self.base.bias)
        y: Tensor = _LoraFunction.apply(x, self.base, self.a, self.b, self.scale)  # type: ignore[no-untyped-call]
        return y

    @property
    def weight(self) -> Tensor:
        """The frozen weight; some models look at its dtype."""
        return self.base.weight

    def delta(self) -> Tensor:
        """The update (out, in) that merging adds to the weight."""
        return (self.b @ self.a) * self.scale


class Lora:
    """LoRA on a model; see `rung.methods.method.Attached`."""

    def __init__(self, model: nn.Module, settings: MethodSettings) -> None:
        self.model = model
        self.settings = settings
        self.layers: dict[str, LoraLinear] = {}
        generator = torch.Generator().manual_seed(settings.seed)
        model.requires_grad_(False)
        root = math.sqrt(settings.rank) if settings.rslora else settings.rank
        for name, module in linear_layers(model, settings.targets).items():
            layer = LoraLinear(module, settings.rank, settings.alpha / root, generator)
            self.layers[name] = layer
            replace(model, name, layer)

    def parameters(self) -> list[nn.Parameter]:
        return [parameter for layer in self.layers.values() for parameter in (layer.a, layer.b)]

    def updated(self) -> None:
        """The forward pass reads A and B themselves."""

    def state(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self._named()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        named = dict(self._named())
        require_fit(named, state)
        with torch.no_grad():
            for name, tensor in named.items():
                tensor.copy_(state[name])

    @contextmanager
    def disabled(self) -> Iterator[None]:
        self._enable(False)
        try:
            yield
        finally:
            self._enable(True)

    def merge(self) -> None:
        with torch.no_grad():
            for name, layer in self.layers.items():
                weight = layer.base.weight
                weight.copy_((weight.to(layer.a.dtype) + layer.delta()).to(weight.dtype))
                replace(self.model, name, layer.base)
        self.layers = {}

    def detach(self) -> None:
        for name, layer in self.layers.items():
            replace(self.model, name, layer.base)
        self.layers = {}

    def _enable(self, on: bool) -> None:
        for layer in self.layers.values():
            layer.enabled = on

    def _named(self) -> Iterator[tuple[str, Tensor]]:
        for name, layer in self.layers.items():
            yield f"{name}.lora_A.weight", layer.a
            yield f"{name}.lora_B.weight", layer.b


LORA = Method(name="lora", title="LoRA", learning_rate=2e-3, attach=Lora)
