"""Where the parts of a fused layer are; what it computes is in test_body and in the suite of families."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from families import FAMILIES, model_of
from rung.compute import layers
from rung.compute.layers import Layer
from rung.compute.projection import Projection

FUSED = [kind for kind, (path, _) in FAMILIES.items() if path == "fused"]


def layer_of(kind: str, index: int = 0) -> Layer:
    model = model_of(kind)
    return Layer.of(index, model.base_model.layers[index], model.config)


@pytest.mark.parametrize("kind", FUSED)
def test_every_linear_layer_has_its_place(kind: str) -> None:
    layer = layer_of(kind)
    parts: list[Projection] = [layer.qkv, layer.o, layer.gate_up, layer.down]
    found = {id(module) for part in parts for module in part.modules}
    assert found == {id(m) for m in layer.module.modules() if isinstance(m, nn.Linear)}
    assert sum(layer.qkv.sizes) == sum(layer.shape.columns) == 64
    assert layer.fits()
    layer.module.self_attn.o_proj = nn.Linear(32, 32)
    assert not layer.fits()


def test_windows_and_angles_follow_the_layer() -> None:
    assert [layer_of("gemma3_text", i).window for i in (0, 1)] == [6, None]
    assert [layer_of("gemma3_text", i).kind for i in (0, 1)] == ["sliding_attention", "full_attention"]
    assert [layer_of(kind).window for kind in ("mistral", "phi3", "llama")] == [6, 6, None]
    assert layer_of("llama").kind is None


def test_the_factors_of_gemmas_norms_are_one_more_than_their_weights() -> None:
    module = model_of("gemma3_text").base_model.norm
    h = torch.randn(3, 32)
    assert torch.allclose(layers.norm(h, module), module(h), atol=1e-6)


def test_why_a_model_has_no_fused_layers() -> None:
    assert layers.why_not(model_of("phi3")) is None
    assert "GPT2Model" in str(layers.why_not(model_of("gpt2")))
    model = model_of("qwen3")
    model.config.hidden_act = "relu"
    assert "relu, not silu or gelu_pytorch_tanh" in str(layers.why_not(model))
