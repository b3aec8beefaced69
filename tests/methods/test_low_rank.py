"""The low-rank update: the formula and its gradients, how it begins, its number formats."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from rung.compute.linears import Linear
from rung.compute.sites import Site, site_of
from rung.methods.dropout import Dropout
from rung.methods.lora import Lora
from rung.methods.lora_settings import LoraSettings
from rung.methods.low_rank import LowRankChange
from tiny_model import distance, shake, tiny_model


def site(base: Linear, change: LowRankChange) -> Site:
    found = Site(base)
    found.switch(change)
    return found


def a_layer(dtype: torch.dtype = torch.float64, bias: bool = True, rank: int = 3, scale: float = 0.7) -> Site:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        base = nn.Linear(6, 5, bias=bias).to(dtype).requires_grad_(False)
    layer = site(base, LowRankChange(base, rank, scale, torch.Generator().manual_seed(0)))
    shake([layer.on.b], size=0.5)
    return layer


def an_input(dtype: torch.dtype = torch.float64, shape: tuple[int, ...] = (2, 4, 6)) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def spelled_out(layer: Site, x: Tensor) -> Tensor:
    base = layer.base
    update = linear(linear(x, layer.on.a.to(x.dtype)), layer.on.b.to(x.dtype))
    return linear(x, base.weight, base.bias) + layer.on.scale * update


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(6,), (4, 6), (2, 4, 6), (0, 6)])
def test_output_and_gradients_equal_the_formula_under_autograd(shape: tuple[int, ...], bias: bool) -> None:
    ours, theirs = a_layer(bias=bias), a_layer(bias=bias)
    x, z = (an_input(shape=shape).requires_grad_() for _ in range(2))
    out, wanted = ours(x), spelled_out(theirs, z)
    assert torch.allclose(out, wanted, rtol=1e-12, atol=1e-12)
    cotangent = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    out.backward(cotangent)
    wanted.backward(cotangent)  # type: ignore[no-untyped-call]
    for mine, other in zip([x, ours.on.a, ours.on.b], [z, theirs.on.a, theirs.on.b], strict=True):
        assert mine.grad is not None
        assert other.grad is not None
        assert torch.allclose(mine.grad, other.grad, rtol=1e-12, atol=1e-12)
    assert ours.base.weight.grad is None


def a_started_layer(dropout: Dropout | None) -> Site:
    layer = a_layer()
    draw = torch.Generator().manual_seed(4)
    layer.on.start = tuple(torch.randn(p.shape, generator=draw).double() for p in (layer.on.a, layer.on.b))
    layer.on.dropout, layer.on.place = dropout, "layer"
    return layer


@pytest.mark.parametrize("dropout", [None, Dropout(0.3, 1, on=True)], ids=["all", "dropout"])
def test_with_a_start_and_dropout_it_is_the_formula_under_autograd(dropout: Dropout | None) -> None:
    ours, theirs = a_started_layer(dropout), a_started_layer(dropout)
    x, z = (an_input(shape=(7, 6)).requires_grad_() for _ in range(2))
    kept = z if dropout is None else z * dropout.factors(z, "layer")
    change, (a, b) = theirs.on, theirs.on.start
    update = change.scale * (linear(linear(kept, change.a), change.b) - linear(linear(kept, a), b))
    out, wanted = ours(x), theirs.base(z) + update
    assert torch.allclose(out, wanted, rtol=1e-12, atol=1e-12)
    cotangent = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    out.backward(cotangent)
    wanted.backward(cotangent)
    for mine, other in zip([x, ours.on.a, ours.on.b], [z, change.a, change.b], strict=True):
        assert torch.allclose(mine.grad, other.grad, rtol=1e-12, atol=1e-12)


def test_where_a_and_b_are_at_their_start_nothing_is_added() -> None:
    layer = a_started_layer(None)
    layer.on.start = layer.on.a.detach().clone(), layer.on.b.detach().clone()
    x = an_input(torch.float64)
    assert torch.equal(layer(x), layer.base(x))
    assert not layer.on.delta().any()


def test_an_input_that_needs_no_gradient_gets_none() -> None:
    layer, x = a_layer(), an_input()
    layer(x).sum().backward()
    assert x.grad is None
    assert layer.on.a.grad is not None


def test_an_input_that_is_not_dense_gives_the_same() -> None:
    layer = a_layer()
    x = an_input(shape=(4, 2, 6)).transpose(0, 1)
    assert torch.allclose(layer(x), layer(x.contiguous()), rtol=1e-12)


def test_parameters_and_gradients_are_fp32_over_a_bf16_base() -> None:
    layer = a_layer(torch.bfloat16)
    x = an_input(torch.bfloat16).requires_grad_()
    out = layer(x)
    out.sum().backward()
    assert out.dtype == torch.bfloat16
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16
    for parameter in (layer.on.a, layer.on.b):
        assert parameter.dtype == torch.float32
        assert parameter.grad is not None
        assert parameter.grad.dtype == torch.float32
    wide = a_layer(torch.float32)
    with torch.no_grad():
        wide.base.weight.copy_(layer.base.weight)
        wide.on.a.copy_(layer.on.a)
        wide.on.b.copy_(layer.on.b)
        assert distance(out.float(), wide(x.float())) < 0.02


def test_delta_is_the_update_that_merging_adds() -> None:
    layer, x = a_layer(bias=False), an_input()
    merged = linear(x, layer.base.weight + layer.on.delta())
    assert torch.allclose(layer(x), merged, rtol=1e-12)


def test_a_model_that_multiplies_by_the_weight_itself_gets_the_update_too() -> None:
    """As Mamba does with the layer of its time steps."""
    for layer in (a_layer(), a_turned_layer()):
        x = an_input()
        turned = isinstance(layer.base, Conv1D)
        by_hand = x @ (layer.weight if turned else layer.weight.T) + layer.bias
        assert torch.allclose(by_hand, layer(x), rtol=1e-12, atol=1e-12)
        layer.switch(None)
        assert layer.weight is layer.base.weight


def a_turned_layer() -> Site:
    usual = a_layer()
    turned = Conv1D(5, 6).double().requires_grad_(False)
    turned.weight.data, turned.bias.data = usual.base.weight.data.T.contiguous(), usual.base.bias.data
    layer = site(turned, LowRankChange(turned, 3, 0.7, torch.Generator().manual_seed(0)))
    shake([layer.on.b], size=0.5)
    return layer


def test_a_layer_of_gpt2_is_the_same_layer_turned() -> None:
    ours, theirs = a_turned_layer(), a_layer()
    x, z = (an_input().requires_grad_() for _ in range(2))
    assert torch.allclose(ours(x), theirs(z), rtol=1e-12, atol=1e-12)
    (ours(x) ** 2).sum().backward()
    (theirs(z) ** 2).sum().backward()
    for mine, other in zip([x, ours.on.a, ours.on.b], [z, theirs.on.a, theirs.on.b], strict=True):
        assert torch.allclose(mine.grad, other.grad, rtol=1e-10, atol=1e-10)


def test_a_begins_uniform_and_b_at_zero() -> None:
    layer = LowRankChange(nn.Linear(400, 5), 64, 1.0, torch.Generator().manual_seed(0))
    bound = 1 / math.sqrt(400)
    assert not layer.b.any()
    assert float(layer.a.detach().abs().max()) <= bound
    assert float(layer.a.detach().std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)


def test_a_change_is_read_once_it_is_told() -> None:
    lora = Lora(tiny_model(), LoraSettings(rank=2, targets=("up_proj",)))
    layer = site_of(lora.model, next(iter(lora.changes)))
    x = an_input(torch.float32, (3, 32))
    before = layer(x)
    shake([layer.on.b])
    lora.updated()
    assert torch.allclose(layer(x), spelled_out(layer, x), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(layer(x), before)
