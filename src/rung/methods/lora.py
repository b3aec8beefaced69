"""LoRA (Hu et al. 2021, arXiv 2106.09685): a frozen weight W and a trained low-rank update.

    y  = x W^T + s (x A^T) B^T          s = alpha / r, or alpha / sqrt(r) (rsLoRA, arXiv 2312.03732)
    dx = dy W + s (dy B) A     dA = s (dy B)^T x     dB = s dy^T (x A^T)

Only x is kept for the backward pass; x A^T is computed again. W gets no gradient. Layers that read the same x
(queries, keys, values; gate, up) are one product with their A stacked. A and B are fp32 and are cast to the
base's dtype once after every change.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from rung.methods.method import Files, Method, MethodSettings, require_fit
from rung.methods.targets import Linear, layer_of, linear_layers, reach, replace, weight_of

_NEARLY_ALL = 0.9  # of the weights; a lower reach is said


@dataclass
class Clock:
    """Counts the changes of A and B, so that they are cast to the base's dtype once after each."""

    ticks: int = 0


class LoraLinear(nn.Module):
    """A linear layer with a low-rank update."""

    def __init__(
        self,
        base: Linear,
        rank: int,
        scale: float,
        generator: torch.Generator,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        self.base = base
        self.scale = scale
        self.enabled = True
        self.clock = clock or Clock()
        weight = weight_of(base)  # (out, in)
        self.out_features, self.in_features = weight.shape
        wide = torch.promote_types(weight.dtype, torch.float32)
        bound = 1 / math.sqrt(self.in_features)  # kaiming_uniform(a=sqrt(5)), as in the paper's code
        a = torch.empty(rank, self.in_features, dtype=wide).uniform_(-bound, bound, generator=generator)
        self.a = nn.Parameter(a.to(weight.device))
        self.b = nn.Parameter(torch.zeros(self.out_features, rank, dtype=wide, device=weight.device))
        self._alone = LowRank([self])

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out)."""
        if not self.enabled:
            return linear(x, weight_of(self.base), self.base.bias)
        y: Tensor = _LoraFunction.apply(x, self.base, self._alone, self.a, self.b)  # type: ignore[no-untyped-call]
        return y

    @staticmethod
    def joint_update(modules: Sequence[nn.Module]) -> LowRank:
        """The update of several linear layers that read the same input; not all need an adapter."""
        return LowRank(modules)

    @property
    def weight(self) -> Tensor:
        """The weight with its update, as the base keeps it: some models multiply by it themselves."""
        weight: Tensor = self.base.weight
        if not self.enabled:
            return weight
        delta = self.delta().to(weight.dtype)
        return weight + (delta.T if isinstance(self.base, Conv1D) else delta)

    @property
    def bias(self) -> Tensor | None:
        """The frozen bias."""
        bias: Tensor | None = self.base.bias
        return bias

    def delta(self) -> Tensor:
        """The update (out, in) that merging adds to the weight."""
        return (self.b @ self.a) * self.scale


class LowRank:
    """The update of layers that read the same x: their A are one product, [A1; A2; ...].

    It works on plain tensors; x (T, in), y (T, sum of out).
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._layers: list[tuple[LoraLinear, slice]] = []  # with the columns of y that are its own
        at = 0
        for module in modules:
            if isinstance(module, LoraLinear):
                self._layers.append((module, slice(at, at + module.out_features)))
                at += module.out_features
            elif isinstance(module, Linear):
                at += len(weight_of(module))
        self._cast: _Cast | None = None

    @property
    def leaves(self) -> tuple[nn.Parameter, ...]:
        """A and B of every layer that is on."""
        return tuple(parameter for layer, _ in self._on() for parameter in (layer.a, layer.b))

    def forward(self, x: Tensor, y: Tensor) -> None:
        """y += (x A^T) B^T."""
        if (cast := self._now(x.dtype)) is None:
            return
        xa = x @ cast.a.T
        for _, b, rows, columns in cast.parts:
            y[:, columns].addmm_(xa[:, rows], b.T)

    def backward(self, x: Tensor, dy: Tensor, dx: Tensor | None) -> tuple[Tensor, ...]:
        """Gradients of the leaves; dx += (dy B) A where it is given."""
        if (cast := self._now(x.dtype)) is None:
            return ()
        dyb = torch.cat([dy[:, columns] @ b for _, b, _, columns in cast.parts], 1)
        da, xa = dyb.T @ x, x @ cast.a.T
        if dx is not None:
            dx.addmm_(dyb, cast.a)
        grads: list[Tensor] = []
        for layer, _, rows, columns in cast.parts:
            grads.append(da[rows].to(layer.a.dtype))
            db = xa[:, rows].T @ dy[:, columns]  # B^T's: products with more columns than rows are faster
            grads.append(db.T.to(layer.b.dtype) * layer.scale)
        return tuple(grads)

    def _on(self) -> list[tuple[LoraLinear, slice]]:
        return [(layer, columns) for layer, columns in self._layers if layer.enabled]

    def _now(self, dtype: torch.dtype) -> _Cast | None:
        """A and B of the layers that are on as they are now; None where none is."""
        if not (on := self._on()):
            return None
        state = (dtype, [(id(layer), layer.clock.ticks) for layer, _ in on])
        if self._cast is None or self._cast.state != state:
            with torch.no_grad():
                a = torch.cat([layer.a for layer, _ in on]).to(dtype)
                parts = []
                row = 0
                for layer, columns in on:
                    rows = slice(row, row := row + len(layer.a))
                    parts.append((layer, (layer.b * layer.scale).to(dtype), rows, columns))
            self._cast = _Cast(state, a, parts)
        return self._cast


@dataclass(frozen=True)
class _Cast:
    """A (sum of r, in), and each layer with s B (out, r), its rows of A and its columns of y."""

    state: tuple[object, ...]
    a: Tensor
    parts: list[tuple[LoraLinear, Tensor, slice, slice]]


class _LoraFunction(Function):
    """One layer on its own; x (..., in) -> (..., out)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, base: Linear, update: LowRank, *leaves: Tensor) -> Tensor:
        ctx.base, ctx.update = base, update
        ctx.save_for_backward(x)
        y = linear(x, weight_of(base), base.bias)
        update.forward(x.reshape(-1, x.shape[-1]), y.view(-1, y.shape[-1]))
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        dy = grads[0].reshape(-1, grads[0].shape[-1])
        dx = dy @ weight_of(ctx.base) if ctx.needs_input_grad[0] else None
        leaves = ctx.update.backward(x.reshape(-1, x.shape[-1]), dy, dx)
        return None if dx is None else dx.view(x.shape), None, None, *leaves


class Lora:
    """LoRA on a model; see `rung.methods.method.Attached`."""

    def __init__(self, model: nn.Module, settings: MethodSettings) -> None:
        self.model = model
        self.settings = settings
        self.layers: dict[str, LoraLinear] = {}
        self._clock = Clock()
        generator = torch.Generator().manual_seed(settings.seed)
        model.requires_grad_(False)
        root = math.sqrt(settings.rank) if settings.rslora else settings.rank
        found = linear_layers(model, settings.targets, settings.top_layers)
        self.reach = reach(model, found.values())
        for name, module in found.items():
            layer = LoraLinear(module, settings.rank, settings.alpha / root, generator, self._clock)
            self.layers[name] = layer
            replace(model, name, layer)

    def parameters(self) -> list[nn.Parameter]:
        return [parameter for layer in self.layers.values() for parameter in (layer.a, layer.b)]

    def rates(self) -> list[float]:
        """LoRA+ (Hayou et al. 2024, arXiv 2402.12354): B may learn faster than A."""
        return [rate for _ in self.layers for rate in (1.0, self.settings.b_rate)]

    def frozen_layers(self) -> int:
        return min(layer_of(name) or 0 for name in self.layers)

    def updated(self) -> None:
        self._clock.ticks += 1

    def state(self, copy: bool = True) -> dict[str, Tensor]:
        return {name: one.detach().clone() if copy else one.detach() for name, one in self._named()}

    def applied(self) -> dict[str, Any]:
        s = self.settings
        return {
            "rank": s.rank,
            "alpha": s.alpha,
            "rslora": s.rslora,
            "targets": sorted({name.rsplit(".", 1)[-1] for name in self.layers}),
            "lora_plus": s.b_rate,
            "top_layers": s.top_layers,
            "reach": round(self.reach.share, 4),
        }

    def notes(self) -> tuple[str, ...]:
        """Which share of the weights it reaches, where that is not nearly all and nobody asked for less."""
        s = self.settings
        asked = bool(s.targets) or s.top_layers is not None
        return () if asked or self.reach.share >= _NEARLY_ALL else (str(self.reach),)

    def files(self, base: str, about: Mapping[str, Any]) -> Files:
        """An adapter folder in PEFT's format."""
        from rung.methods.peft_bridge import adapter_files  # which builds on this module

        return adapter_files(self, base, about)

    def load(self, state: Mapping[str, Tensor]) -> None:
        named = dict(self._named())
        require_fit(named, state)
        with torch.no_grad():
            for name, tensor in named.items():
                tensor.copy_(state[name])
        self.updated()

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
                weight = weight_of(layer.base)
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
