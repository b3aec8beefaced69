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
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.autograd import Function

from rung.compute.linears import Linear, product, shape_of, weight_of
from rung.compute.sites import Change
from rung.methods.adapter import Adapter, PlainFormat, require
from rung.methods.changes import Changes, wide_of
from rung.methods.method import Method, MethodSettings, Names
from rung.methods.peft_keys import (
    layer_names,
    layer_numbers,
    refuse_others,
    require_same_layers,
    target_names,
)
from rung.methods.slots import ONLY
from rung.methods.targets import linear_layers

MOST_ALPHA = 1e6  # so that alpha / r times a weight stays a number in fp32
LEAST_ALPHA = 1e-6  # less would not be felt
MOST_RANK = 4096
_READ = {
    "r",
    "lora_alpha",
    "use_rslora",
    "bias",
    "init_lora_weights",
    "target_modules",
    "layers_to_transform",
    "fan_in_fan_out",
}
_WITHOUT_EFFECT = {"lora_dropout", "megatron_core", "qalora_group_size"}  # on a finished adapter


class LoraSettings(MethodSettings):
    """What can be asked of LoRA."""

    rank: int = Field(default=16, ge=1, le=MOST_RANK, description="Rows of A and columns of B.")
    alpha: float = Field(
        default=32.0, ge=LEAST_ALPHA, le=MOST_ALPHA, description="The update is scaled by alpha / rank."
    )
    rslora: bool = Field(default=False, description="Scale by alpha / sqrt(rank) instead.")
    lora_plus: float = Field(
        default=1.0, gt=0, le=1000, description="LoRA+: learning rate of B over that of A."
    )
    targets: Names = Field(default=(), description="Names of the linear layers to adapt; all if not given.")
    top_layers: int | None = Field(default=None, ge=1, description="Adapt only so many of the last layers.")

    @property
    def scale(self) -> float:
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)


@dataclass
class Clock:
    """Counts the changes of A and B, so that they are cast to the base's dtype once after each."""

    ticks: int = 0


class LowRankChange(Change):
    """A and B at one layer; the names of the parameters are PEFT's."""

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

    def delta(self) -> Tensor:
        """The update (out, in) that merging adds to the weight."""
        return (self.b @ self.a) * self.scale

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
        self._cast: _Cast | None = None

    @property
    def leaves(self) -> tuple[nn.Parameter, ...]:
        """A and B of every layer."""
        return tuple(parameter for layer, _ in self._layers for parameter in (layer.a, layer.b))

    def forward(self, x: Tensor, y: Tensor) -> None:
        """y += (x A^T) B^T."""
        cast = self._now(x.dtype)
        xa = x @ cast.a.T
        for _, b, rows, columns in cast.parts:
            y[:, columns].addmm_(xa[:, rows], b.T)

    def backward(self, x: Tensor, dy: Tensor, dx: Tensor | None) -> tuple[Tensor, ...]:
        """Gradients of the leaves; dx += (dy B) A where it is given."""
        cast = self._now(x.dtype)
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

    def _now(self, dtype: torch.dtype) -> _Cast:
        """A and B as they are now."""
        state = (dtype, [layer.clock.ticks for layer, _ in self._layers])
        if self._cast is None or self._cast.state != state:
            with torch.no_grad():
                a = torch.cat([layer.a for layer, _ in self._layers]).to(dtype)
                parts = []
                row = 0
                for layer, columns in self._layers:
                    rows = slice(row, row := row + len(layer.a))
                    parts.append((layer, (layer.b * layer.scale).to(dtype), rows, columns))
            self._cast = _Cast(state, a, parts)
        return self._cast


@dataclass(frozen=True)
class _Cast:
    """A (sum of r, in), and each layer with s B (out, r), its rows of A and its columns of y."""

    state: tuple[object, ...]
    a: Tensor
    parts: list[tuple[LowRankChange, Tensor, slice, slice]]


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


class Lora(Changes):
    """LoRA on a model; see `rung.methods.method.Attached`."""

    settings: LoraSettings

    def __init__(self, model: nn.Module, settings: LoraSettings, seed: int = 0, slot: str = ONLY) -> None:
        self._clock = Clock()
        self.asked = bool(settings.targets) or settings.top_layers is not None
        generator = torch.Generator().manual_seed(seed)
        found = linear_layers(model, settings.targets, settings.top_layers)

        def make(_name: str, layer: Linear) -> LowRankChange:
            return LowRankChange(layer, settings.rank, settings.scale, generator, self._clock)

        super().__init__(model, settings, found, make, slot)

    def named(self) -> dict[str, Tensor]:
        return {
            f"{name}.lora_{half}.weight": tensor
            for name, change in self.changes.items()
            for half, tensor in (("A", change.a), ("B", change.b))
        }

    def rates(self) -> list[float]:
        """LoRA+ (Hayou et al. 2024, arXiv 2402.12354): B may learn faster than A."""
        return [rate for _ in self.changes for rate in (1.0, self.settings.lora_plus)]

    def updated(self) -> None:
        self._clock.ticks += 1


class LoraFormat(PlainFormat):
    """The subset that every reader scales in the same way: plain LoRA, alpha / r (rsLoRA is folded in)."""

    peft_type = "LORA"

    def config(self, adapter: Adapter) -> dict[str, Any]:
        s: Any = adapter.settings
        alpha = s.alpha * math.sqrt(s.rank) if s.rslora else s.alpha
        config: dict[str, Any] = {
            "r": s.rank,
            "lora_alpha": int(alpha) if float(alpha).is_integer() else alpha,
            "lora_dropout": 0.0,
            "use_rslora": False,
            "bias": "none",
            "target_modules": target_names(adapter.facts["layers"], s.targets),
            "init_lora_weights": True,
        }
        if adapter.facts["turned"]:
            config["fan_in_fan_out"] = True
        if s.top_layers is not None:
            config["layers_to_transform"] = layer_numbers(adapter.facts["layers"])
        return config

    def settings(self, config: Mapping[str, Any]) -> LoraSettings:
        rank, alpha = config.get("r"), config.get("lora_alpha")
        require(type(rank) is int and 1 <= rank <= MOST_RANK, f"r cannot be {rank!r}")
        require(_is_alpha(alpha), f"lora_alpha cannot be {alpha!r}")
        scaling = config.get("use_rslora")
        require(scaling is None or type(scaling) is bool, f"use_rslora cannot be {scaling!r}")
        require(config.get("bias", "none") == "none", "it trains biases, which rung does not read")
        refuse_others(config, _READ | _WITHOUT_EFFECT)
        start = config.get("init_lora_weights", True)
        fine = type(start) is bool or start == "gaussian"
        require(fine, f"init_lora_weights {start!r} changes the base's weights")
        layers = config.get("layers_to_transform")
        return LoraSettings(
            rank=int(rank or 1),
            alpha=float(alpha or 1.0),
            rslora=bool(scaling),
            targets=layer_names(config, "target_modules"),
            top_layers=len(layers) if isinstance(layers, list) and layers else None,
        )

    def check(self, adapter: Adapter, attached: Any) -> None:
        require_same_layers(adapter, attached)
        super().check(adapter, attached)

    def used(self, adapter: Adapter) -> Iterator[tuple[str, Tensor]]:
        s: Any = adapter.settings
        for name, tensor in adapter.tensors.items():
            scaled = name.endswith("lora_B.weight")
            yield (f"{name!r}, scaled by alpha / r,", tensor * s.scale) if scaled else (repr(name), tensor)


def _is_alpha(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and LEAST_ALPHA <= value <= MOST_ALPHA


LORA = Method(
    name="lora",
    title="LoRA",
    when="The default: close to full fine-tuning in quality, small, merged into the base without a cost.",
    Settings=LoraSettings,
    learning_rate=2e-3,
    attach=Lora,
    format=LoraFormat(),
)
