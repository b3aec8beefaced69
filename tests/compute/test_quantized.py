"""Linear layers held in few bits, alone and in models of several families."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel

from families import model_of
from rung.bases.base import OWN_ATTENTION, Route
from rung.compute import body, paths, quantized
from rung.compute.quantized import QuantizedLinear, bits_of, bytes_of, quantize
from tiny_model import copy_of, same_bytes, tiny_model

BITS: list[Any] = [4, 8]
NAMES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def weight(rows: int = 24, columns: int = 40, seed: int = 0) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def held(model: nn.Module) -> dict[str, QuantizedLinear]:
    return {name: one for name, one in model.named_modules() if isinstance(one, QuantizedLinear)}


def opened(model: PreTrainedModel) -> PreTrainedModel:
    """The model with ordinary layers that have the same, already rounded, weights."""
    for name, one in held(model).items():
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, one.opened())
    return model


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("bias", [False, True])
def test_a_product_and_its_gradient_are_those_of_the_weight(
    bits: Any, dtype: torch.dtype, bias: bool
) -> None:
    layer = QuantizedLinear(weight().to(dtype), torch.ones(24, dtype=dtype) if bias else None, bits)
    full = layer.weight
    assert (full.shape, full.dtype, layer.bits) == ((24, 40), dtype, bits)
    assert 0 < float((full - weight().to(dtype)).norm() / weight().norm()) < {4: 0.1, 8: 0.009}[bits]
    outs = []
    for product in (layer, lambda x: linear(x, full, layer.bias)):
        x = weight(14, 40, seed=1).view(2, 7, 40).to(dtype).requires_grad_()
        y = product(x)
        y.backward(weight(14, 24, seed=2).view(2, 7, 24).to(dtype))
        outs.append((y.detach(), x.grad))
    assert all(torch.equal(one, other) for one, other in zip(*outs, strict=True))


def test_a_bias_can_be_trained() -> None:
    layer = QuantizedLinear(weight(), torch.ones(24), 4)
    assert layer.bias is not None
    layer.bias.requires_grad_()
    dy = weight(6, 24, seed=2).view(2, 3, 24)
    layer(weight(6, 40).view(2, 3, 40)).backward(dy)
    assert torch.allclose(layer.bias.grad, dy.sum((0, 1)))  # type: ignore[arg-type]


def test_nothing_is_kept_and_nothing_takes_a_gradient() -> None:
    layer = QuantizedLinear(weight(), torch.ones(24), 4)
    kept: list[Tensor] = []
    x = weight(3, 40).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        y = layer(x)
    assert kept == []
    assert y.requires_grad
    assert not layer(weight(3, 40)).requires_grad
    assert [name for name, one in layer.named_parameters() if one.requires_grad] == []


@pytest.mark.parametrize("bits", BITS)
def test_state_and_back(bits: Any) -> None:
    first, second = (QuantizedLinear(weight(seed=seed), torch.ones(24) * seed, bits) for seed in (1, 2))
    assert not torch.equal(first.weight, second.weight)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.weight, second.weight)
    assert same_bytes(copy_of(first), copy_of(second))  # type: ignore[arg-type]


@pytest.mark.parametrize("bits", BITS)
def test_it_is_written_into_a_part_of_something_larger(bits: Any) -> None:
    layer = QuantizedLinear(weight().bfloat16(), None, bits)
    whole = torch.zeros(30, 40, dtype=torch.bfloat16)
    assert layer.write(whole[2:26]).data_ptr() == whole[2].data_ptr()
    assert torch.equal(whole[2:26], layer.weight)
    assert not bool(whole[:2].any() or whole[26:].any())


@pytest.mark.parametrize("bits", BITS)
def test_the_linear_layers_of_the_decoder_and_no_others(bits: Any) -> None:
    model = tiny_model(tied=False, dtype=torch.bfloat16)
    before, size = copy_of(model), bytes_of(model)
    count = sum(one.numel() for one in model.parameters())
    assert bits_of(model) is None
    assert quantize(model, bits, "cpu") == 14
    assert [name.rsplit(".", 1)[-1] for name in held(model)] == NAMES * 2
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert isinstance(model.get_output_embeddings(), nn.Linear)
    assert (bits_of(model), size) == (bits, 2 * count)
    inside = sum(one.shape.numel() for one in held(model).values())
    assert (bytes_of(model) - 2 * (count - inside)) / inside < {4: 0.55, 8: 1.1}[bits]
    for name, one in held(model).items():
        assert torch.equal(QuantizedLinear(before[f"{name}.weight"], None, bits).weight, one.weight)
    assert quantize(model, bits, "cpu") == 0


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("llama", "fused"),
        ("qwen2", "fused"),
        ("qwen3", "fused"),
        ("gemma3_text", "fused"),
        ("phi3", "fused"),
        ("gpt2", "interface"),
        ("granite", "interface"),
        ("qwen2_moe", "interface"),
        ("mamba", "plain"),
        ("gptj", "plain"),
    ],
)
def test_a_base_is_computed_on_the_path_it_has_in_full(bits: Any, kind: str, path: str) -> None:
    """The choice compares gradients, too; logits are those of the same weights in ordinary layers."""
    model = model_of(kind)
    assert quantize(model, bits, "cpu") > 0
    assert paths.choose(model.eval().requires_grad_(False), "it").path == path
    model.set_attn_implementation(OWN_ATTENTION)
    ids = torch.tensor([[5, 7, 9, 11, 13, 17]])
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits
        other = opened(model)(input_ids=ids, use_cache=False).logits
    assert bits_of(model) is None
    assert torch.allclose(logits, other, atol=1e-5)


def test_the_weights_of_gpt2_lie_the_other_way_round() -> None:
    model = model_of("gpt2")
    before = model.transformer.h[0].attn.c_attn.weight.T.clone()
    quantize(model, 8, "cpu")
    found = held(model)["transformer.h.0.attn.c_attn"]
    assert found.shape == (96, 32) == before.shape
    assert float((found.weight - before).norm() / before.norm()) < 0.01


def test_layers_that_work_alone_are_not_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what the fused layers know of codes, the interface path computes such a base."""
    model = tiny_model()
    quantize(model, 4, "cpu")
    assert body.why_not(model) is None
    monkeypatch.setattr("rung.compute.layers.QuantizedLinear", nn.Identity)
    assert paths.choose(model, "it") == Route("interface", "a linear layer is a QuantizedLinear")


def test_each_weight_is_freed_before_the_next_one_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    total = sum(isinstance(one, nn.Linear) for one in model.modules())
    seen: list[int] = []

    def spy(*asked: Any) -> Any:
        seen.append(sum(isinstance(one, nn.Linear) for one in model.modules()))
        return make(*asked)

    make = quantized._held
    monkeypatch.setattr(quantized, "_held", spy)
    quantize(model, 4, "cpu")
    assert seen == [total - done for done in range(14)]
