"""The methods whose adapters are changes at linear layers: what they share.

A method of this kind says which layers it takes and what it does at one (`rung.compute.sites.Change`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from rung.compute.changes import Change
from rung.compute.linears import Linear, weight_of, writable
from rung.compute.names import layer_of
from rung.compute.quantized import QuantizedLinear
from rung.compute.sites import close, site_of
from rung.methods.method import Attached
from rung.methods.slots import ONLY, slots_of
from rung.methods.targets import linear_layers, reach

_NEARLY_ALL = 0.9  # of the weights; a lower reach is said


class Changes(Attached):
    """Changes at the linear layers `found` of a model; see `Attached`."""

    by_row = True
    asked = False  # whether the user chose the layers

    def __init__(
        self,
        model: nn.Module,
        settings: Any,
        found: Mapping[str, Linear],
        make: Callable[[str, Linear], Change],
        slot: str = ONLY,
    ) -> None:
        """`make` gives the change at one layer, by its name."""
        super().__init__(model, settings, slot)
        self.reach = reach(model, found.values())
        changes = {name: make(name, layer) for name, layer in found.items()}
        self.changes: dict[str, Any] = changes
        self.turned = any(isinstance(layer, Conv1D) for layer in found.values())
        ends = {name.rpartition(".")[2] for name in found}
        top = getattr(settings, "top_layers", None)
        self._short = all(name in found for name in linear_layers(model, tuple(ends), top))
        model.requires_grad_(False)
        for name, change in changes.items():
            site_of(model, name).changes[slot] = change
        slots_of(model).take(self)

    def named(self) -> dict[str, Tensor]:
        return named_in(self.changes)

    def parameters(self) -> list[nn.Parameter]:
        return [parameter for change in self.changes.values() for parameter in change.parameters()]

    def frozen_layers(self) -> int:
        return min(layer_of(name) or 0 for name in self.changes)

    def applied(self) -> dict[str, Any]:
        names = sorted({name.rsplit(".", 1)[-1] for name in self.changes})
        return super().applied() | {"targets": names, "reach": round(self.reach.share, 4)}

    def notes(self) -> tuple[str, ...]:
        """Which share of the weights it reaches, where that is not nearly all and nobody asked for less."""
        return () if self.asked or self.reach.share >= _NEARLY_ALL else (str(self.reach),)

    def facts(self) -> dict[str, Any]:
        """Whether the last parts of the layers' names mean them alone, and whether weights are (in, out)."""
        return {"layers": list(self.changes), "short": self._short, "turned": self.turned}

    def switch(self, on: bool) -> None:
        for name, change in self.changes.items():
            site_of(self.model, name).switch(change if on else None)

    def merge(self) -> None:
        with torch.no_grad():
            for name, change in self.changes.items():
                site = site_of(self.model, name)
                layer = site.base = writable(site.base)  # rounded again, the change would be lost
                weight = weight_of(layer)
                wide = torch.promote_types(weight.dtype, torch.float32)
                bias = None if layer.bias is None else layer.bias.to(wide)
                merged, merged_bias = change.merged(weight.to(wide), bias)
                weight.copy_(merged.to(weight.dtype))
                if bias is not None and merged_bias is not None:
                    layer.bias.copy_(merged_bias.to(weight.dtype))
        self.detach()

    def remove(self) -> None:
        for name in self.changes:
            close(self.model, name, self.slot)


def named_in(parts: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """The parameters of parts of an adapter, by the name of the part and their own."""
    return {
        f"{name}.{own}": tensor for name, part in parts.items() for own, tensor in part.named_parameters()
    }


def wide_of(layer: Linear) -> dict[str, Any]:
    """Number format and device of what is trained at a layer."""
    own = layer.codes if isinstance(layer, QuantizedLinear) else layer.weight
    held = layer.dtype if isinstance(layer, QuantizedLinear) else own.dtype
    return {"dtype": torch.promote_types(held, torch.float32), "device": own.device}
