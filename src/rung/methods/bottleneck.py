"""Bottleneck adapters: small networks with a narrow middle between the layers of a frozen base.

    b(z) = scale * (act(z D^T + c) U^T + e)         D (size, d), U (d, size); U = 0 and e = 0 at the start

    houlsby    y + b(y) for the output y of each attention and of each MLP
               (Houlsby et al. 2019, arXiv 1902.00751)
    parallel   y + b(x) for the input x and the output y of each MLP (He et al. 2022, arXiv 2110.04366)

They cannot be merged: b is no linear function. PEFT has no such method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from pydantic import Field, ValidationError
from torch import Tensor, nn
from torch.nn.functional import gelu, linear, relu, silu

from rung.compute.changes import Change
from rung.compute.linears import Linear, shape_of
from rung.compute.names import layer_of
from rung.compute.parallel import put_parallel
from rung.errors import UsageError
from rung.methods.adapter import Adapter, PlainFormat, Unreadable, require
from rung.methods.changes import Changes, named_in, wide_of
from rung.methods.method import Attached, Method, MethodSettings, Promises
from rung.methods.peft_keys import refuse_others
from rung.methods.slots import ONLY, slots_of
from rung.methods.targets import blocks, linear_layers

_USUAL = 64  # size
_ACTS: dict[str, Callable[[Tensor], Tensor]] = {"relu": relu, "gelu": gelu, "silu": silu}


class BottleneckSettings(MethodSettings):
    """What can be asked of bottleneck adapters."""

    kind: Literal["houlsby", "parallel"] = Field(
        default="houlsby",
        description="After every attention and MLP (houlsby), or next to every MLP (parallel).",
    )
    size: int | None = Field(
        default=None, ge=1, description="Width of the middle; 64, at most half the model's, if not given."
    )
    act: Literal["relu", "gelu", "silu"] = Field(
        default="gelu", description="What is between the two products."
    )
    scale: float = Field(default=1.0, gt=0, le=1000, description="What is added is multiplied by it.")


class Bottleneck(Change):
    """b, after a layer or next to a module."""

    def __init__(
        self, settings: Any, width: int, generator: torch.Generator, wide: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.act = _ACTS[settings.act]
        self.scale: float = settings.scale
        self.down = nn.utils.skip_init(nn.Linear, width, settings.size, **wide)  # type: ignore[no-untyped-call]
        self.up = nn.utils.skip_init(nn.Linear, settings.size, width, **wide)  # type: ignore[no-untyped-call]
        bound = 1 / math.sqrt(width)
        start = torch.empty(settings.size, width, dtype=wide["dtype"])
        with torch.no_grad():
            self.down.weight.copy_(start.uniform_(-bound, bound, generator=generator))
            for other in (self.down.bias, self.up.weight, self.up.bias):
                other.zero_()

    def forward(self, z: Tensor) -> Tensor:
        """b(z): (..., d) -> (..., d), in the format of z."""
        middle = self.act(linear(z, self.down.weight.to(z.dtype), self.down.bias.to(z.dtype)))
        return linear(middle, self.up.weight.to(z.dtype), self.up.bias.to(z.dtype)) * self.scale

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        out: Tensor = y + self(y)
        return out


class Houlsby(Changes):
    """After the output of every attention and MLP; see `rung.methods.method.Attached`."""

    asked = True  # to reach few weights is the method

    def __init__(self, model: nn.Module, settings: BottleneckSettings, seed: int, slot: str) -> None:
        outputs = blocks(model)
        generator = torch.Generator().manual_seed(seed)

        def make(_name: str, layer: Linear) -> Bottleneck:
            return Bottleneck(settings, shape_of(layer)[0], generator, wide_of(layer))

        names = (*outputs.attention_outputs, *outputs.mlp_outputs)
        self._without = "" if outputs.mlp_outputs else "MLPs whose output is no linear layer have no adapter"
        super().__init__(model, settings, linear_layers(model, names), make, slot)

    def scaled(self, name: str, tensor: Tensor, strength: float) -> Tensor:
        return _scaled(name, tensor, strength)

    def notes(self) -> tuple[str, ...]:
        return (self._without,) if self._without else ()

    def merge(self) -> None:
        Attached.merge(self)


class Parallel(Attached):
    """Next to every MLP; see `rung.methods.method.Attached`."""

    def __init__(self, model: nn.Module, settings: BottleneckSettings, seed: int, slot: str) -> None:
        """Raises `UsageError` where the base has no MLPs that are modules of their own."""
        outputs = linear_layers(model, blocks(model).mlp_outputs or _nowhere(model))
        homes = {name.rpartition(".")[0]: layer for name, layer in outputs.items()}
        if not all(layer_of(name) is not None for name in homes):
            _nowhere(model)
        super().__init__(model, settings, slot)
        generator = torch.Generator().manual_seed(seed)
        model.requires_grad_(False)
        self._parts = {
            name: Bottleneck(settings, shape_of(layer)[0], generator, wide_of(layer))
            for name, layer in homes.items()
        }
        slots_of(model).take(self)

    def named(self) -> dict[str, Tensor]:
        return named_in(self._parts)

    def parameters(self) -> list[nn.Parameter]:
        return [parameter for part in self._parts.values() for parameter in part.parameters()]

    def scaled(self, name: str, tensor: Tensor, strength: float) -> Tensor:
        return _scaled(name, tensor, strength)

    def switch(self, on: bool) -> None:
        for name, part in self._parts.items():
            put_parallel(self.model.get_submodule(name), part if on else None)

    def remove(self) -> None:
        """Nothing is left of it once it is off."""


def _scaled(name: str, tensor: Tensor, strength: float) -> Tensor:
    """What b ends with is linear, so that alone is scaled."""
    return tensor * strength if name.endswith((".up.weight", ".up.bias")) else tensor


def _nowhere(model: nn.Module) -> tuple[str, ...]:
    raise UsageError(
        f"{type(model).__name__} has no MLP next to which an adapter could be put",
        fix="Take bottleneck.kind=houlsby or another method",
    )


def attach(model: nn.Module, settings: BottleneckSettings, seed: int = 0, slot: str = ONLY) -> Attached:
    """Bottleneck adapters on a model. Raises `UsageError` for a size above the model's width."""
    width = int(model.config.get_text_config().hidden_size)  # type: ignore[operator,union-attr]
    size = settings.size or min(_USUAL, width // 2)
    if size > width:
        raise UsageError(f"bottleneck.size is {size}, and the base is {width} wide", fix="Take a smaller one")
    kind = Houlsby if settings.kind == "houlsby" else Parallel
    return kind(model, settings.model_copy(update={"size": size}), seed, slot)


class BottleneckFormat(PlainFormat):
    """A format of our own, in the manner of PEFT's: the options as they are, tensors by module."""

    peft_type = "RUNG_BOTTLENECK"

    def config(self, adapter: Adapter) -> dict[str, Any]:
        return adapter.settings.model_dump(mode="json")

    def settings(self, config: Mapping[str, Any]) -> BottleneckSettings:
        known = BottleneckSettings.model_fields
        refuse_others(config, known.keys())
        for name in known:
            require(config.get(name) is not None, f"{name} is missing")
        try:
            return BottleneckSettings.model_validate({name: config[name] for name in known}, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            raise Unreadable(f"{first['loc'][0]} cannot be {first['input']!r}") from error


METHOD = Method(
    name="bottleneck",
    title="bottleneck adapters",
    when="As LoRA, with a nonlinear change: it stays next to the base and costs time in every answer.",
    Settings=BottleneckSettings,
    learning_rate=2e-3,
    attach=attach,
    format=BottleneckFormat(),
    promises=Promises(mergeable=False, scalable=True),
)
