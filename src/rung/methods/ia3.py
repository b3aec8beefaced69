"""IA3 (Liu et al. 2022, arXiv 2205.05638): trained factors on keys, values and the inside of each MLP.

    y = l * (x W^T + b)   for keys and values, one factor an output
    y = (l * x) W^T + b   for the layer that ends an MLP, one factor an input

All factors begin at 1. A few thousand numbers are trained, and merging multiplies rows or columns of W.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from rung.compute.changes import Change
from rung.compute.linears import Linear, shape_of
from rung.methods.adapter import Adapter, PlainFormat, require
from rung.methods.changes import Changes, wide_of
from rung.methods.method import Method, MethodSettings, Promises
from rung.methods.peft_keys import layer_names, refuse_others, require_same_layers
from rung.methods.slots import ONLY
from rung.methods.targets import blocks, linear_layers
from rung.setting_values import Names


class IA3Settings(MethodSettings):
    """What can be asked of IA3."""

    targets: Names = Field(
        default=(), description="Names of the linear layers; keys, values and ends of MLPs if not given."
    )
    inputs: Names = Field(
        default=(), description="Those of the targets whose inputs are scaled; ends of MLPs if not given."
    )


class Factors(Change):
    """One factor for each input or output of a layer; the shapes (1, in) and (out, 1) are PEFT's."""

    def __init__(self, base: Linear, of_inputs: bool) -> None:
        super().__init__()
        outputs, inputs = shape_of(base)
        self.of_inputs = of_inputs
        self.ia3_l = nn.Parameter(torch.ones((1, inputs) if of_inputs else (outputs, 1), **wide_of(base)))

    def before(self, x: Tensor) -> Tensor:
        return x * self.ia3_l.flatten().to(x.dtype) if self.of_inputs else x

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        return y if self.of_inputs else y * self.ia3_l.flatten().to(y.dtype)

    def merged(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        changed = weight * self.ia3_l
        return changed, bias if bias is None or self.of_inputs else bias * self.ia3_l.flatten()


class IA3(Changes):
    """IA3 on a model; see `rung.methods.method.Attached`."""

    asked = True  # to reach few weights is the method

    def __init__(self, model: nn.Module, settings: IA3Settings, seed: int = 0, slot: str = ONLY) -> None:
        usual = blocks(model)
        found = linear_layers(model, settings.targets or (*usual.keys_values, *usual.mlp_outputs))
        inputs = linear_layers(model, settings.inputs or usual.mlp_outputs)
        self.inputs = [name for name in found if name in inputs]
        super().__init__(model, settings, found, lambda name, base: Factors(base, name in inputs), slot)

    def scaled(self, name: str, tensor: Tensor, strength: float) -> Tensor:
        return 1 + (tensor - 1) * strength

    def facts(self) -> dict[str, Any]:
        return super().facts() | {"inputs": self.inputs}


class IA3Format(PlainFormat):
    """PEFT's IA3."""

    peft_type = "IA3"

    def config(self, adapter: Adapter) -> dict[str, Any]:
        layers, inputs = adapter.facts["layers"], adapter.facts["inputs"]
        names, of_inputs = ({name.rpartition(".")[2] for name in some} for some in (layers, inputs))
        others = {name.rpartition(".")[2] for name in layers if name not in inputs}
        asked: Sequence[str] = adapter.settings.targets  # type: ignore[attr-defined]
        whole = not adapter.facts["short"] or bool(of_inputs & others) or any("." in name for name in asked)
        return {
            "target_modules": sorted(layers) if whole else sorted(names),
            "feedforward_modules": sorted(inputs) if whole else sorted(of_inputs),
            "fan_in_fan_out": adapter.facts["turned"],
            "init_ia3_weights": True,
        }

    def settings(self, config: Mapping[str, Any]) -> IA3Settings:
        refuse_others(config, {"target_modules", "feedforward_modules", "fan_in_fan_out", "init_ia3_weights"})
        targets = layer_names(config, "target_modules")
        inputs = layer_names(config, "feedforward_modules") if config.get("feedforward_modules") else ()
        require(set(inputs) <= set(targets), "feedforward_modules are not among target_modules")
        return IA3Settings(targets=targets, inputs=inputs)

    def check(self, adapter: Adapter, attached: Any) -> None:
        require_same_layers(adapter, attached)
        super().check(adapter, attached)


METHOD = Method(
    name="ia3",
    title="IA3",
    when="Few rows, or thousands of adapters: a few thousand numbers, merged without a cost.",
    Settings=IA3Settings,
    learning_rate=1e-2,
    attach=IA3,
    format=IA3Format(),
    promises=Promises(scalable=True),
)
