"""What the methods of linear layers share; the rest is in the contract suite."""

from __future__ import annotations

import torch
from torch import nn

from attaching import attach
from families import model_of
from rung.compute.changes import Change
from rung.compute.linears import Linear
from rung.compute.sites import Site
from rung.methods.changes import Changes, wide_of
from rung.methods.method import MethodSettings
from rung.methods.targets import linear_layers
from tiny_model import tiny_model


class Grown(Change):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = nn.Parameter(torch.full((size,), 2.0))

    def after(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return y * self.size


def make(_name: str, layer: Linear) -> Change:
    return Grown(layer.weight.shape[0])


def test_it_is_named_after_its_layers_and_frozen_below_them() -> None:
    model = tiny_model()
    changes = Changes(model, MethodSettings(), linear_layers(model, ("k_proj",), 1), make)
    assert list(changes.named()) == ["model.layers.1.self_attn.k_proj.size"]
    assert changes.frozen_layers() == 1
    assert changes.applied()["targets"] == ["k_proj"]
    assert changes.facts() == {"layers": ["model.layers.1.self_attn.k_proj"], "short": False, "turned": False}
    assert isinstance(model.model.layers[1].self_attn.k_proj, Site)
    changes.detach()
    assert isinstance(model.model.layers[1].self_attn.k_proj, nn.Linear)


def test_a_low_reach_is_said_unless_it_was_asked_for() -> None:
    model = tiny_model()
    found = linear_layers(model, ("k_proj",))
    (note,) = Changes(model, MethodSettings(), found, make).notes()
    assert "the adapted layers hold" in note


def test_what_is_trained_is_wide() -> None:
    model = tiny_model(dtype=torch.bfloat16)
    assert wide_of(model.model.layers[0].mlp.up_proj)["dtype"] == torch.float32


def test_layers_are_found_under_their_own_names_beside_another_adapter() -> None:
    model = tiny_model()
    names = list(linear_layers(model))
    attach("lora", model, rank=2)
    assert list(linear_layers(model)) == names


def test_the_layers_of_gpt2_are_turned() -> None:
    assert attach("lora", model_of("gpt2"), rank=2).facts()["turned"] is True
