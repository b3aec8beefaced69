"""Scaling: a trained factor for every number that leaves an MLP. All of them begin at 1."""

import torch
from pydantic import Field
from torch import nn

from rung.compute.changes import Change
from rung.methods.adapter import PlainFormat, require
from rung.methods.changes import Changes, wide_of
from rung.methods.method import Method, MethodSettings
from rung.methods.peft_keys import refuse_others
from rung.methods.targets import blocks, linear_layers
from rung.setting_values import Names


class ScalingSettings(MethodSettings):
    targets: Names = Field((), description="Layers whose outputs are scaled; the ends of MLPs if not given.")


class Factors(Change):
    """At one layer: y -> e^s * y. What leaves `after` has the dtype of y."""

    def __init__(self, base):
        super().__init__()
        self.s = nn.Parameter(torch.zeros(base.out_features, **wide_of(base)))  # fp32

    def after(self, x, y):
        return y * self.s.exp().to(y.dtype)

    def merged(self, weight, bias):
        factors = self.s.exp()
        return weight * factors[:, None], None if bias is None else bias * factors


class Scaling(Changes):
    def __init__(self, model, settings, seed=0, slot="only"):
        found = linear_layers(model, settings.targets or blocks(model).mlp_outputs)
        super().__init__(model, settings, found, lambda name, base: Factors(base), slot)


class ScalingFormat(PlainFormat):
    peft_type = "OUR_SCALING"  # in adapter_config.json

    def config(self, adapter):
        return {"targets": list(adapter.settings.targets)}

    def settings(self, config):
        refuse_others(config, {"targets"})
        targets = config.get("targets")
        require(isinstance(targets, list) and all(isinstance(one, str) for one in targets), "no targets")
        return ScalingSettings(targets=tuple(targets))


METHOD = Method(
    name="scaling",
    title="scaling",
    when="Very few rows: some thousand numbers, and nothing to compute once they are merged.",
    Settings=ScalingSettings,
    learning_rate=1e-2,
    attach=Scaling,
    format=ScalingFormat(),
)
