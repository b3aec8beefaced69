"""DoRA's own: its formula, its gradients on the fused path, its lengths."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from attaching import attach
from rung.compute.projection import Projection
from rung.compute.quantized import quantize
from rung.compute.sites import Site
from rung.methods.dora import DoraChange
from rung.methods.dropout import Dropout
from rung.methods.low_rank import Clock
from rung.methods.slots import slots_of
from tiny_model import distance, shake, tiny_model

DROPOUT = Dropout(0.3, 1, on=True, step=2)


def a_change(outputs: int = 5, bias: bool = True, seed: int = 0) -> DoraChange:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        base = nn.Linear(6, outputs, bias=bias).double().requires_grad_(False)
    change = DoraChange(base, 3, 0.7, torch.Generator().manual_seed(seed), Clock())
    change.place = str(outputs)
    return change


def moved(change: DoraChange) -> DoraChange:
    shake(change.parameters(), size=0.3)
    change.clock.ticks += 1
    return change


def an_input() -> Tensor:
    return torch.randn(4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("bias", [True, False])
def test_it_is_the_formula_of_the_paper(bias: bool) -> None:
    change, x = moved(a_change(bias=bias)), an_input()
    weight = change.base.weight + 0.7 * change.b @ change.a
    weight = change.m[:, None] * weight / weight.norm(dim=1, keepdim=True)
    wanted = nn.functional.linear(x, weight, change.base.bias)
    assert torch.allclose(change.run(change.base, x), wanted, rtol=1e-12, atol=1e-12)
    merged, merged_bias = change.merged(change.base.weight, change.base.bias)
    assert torch.allclose(merged, weight, rtol=1e-12, atol=1e-12)
    assert merged_bias is change.base.bias


def test_it_begins_as_its_layer_bit_for_bit() -> None:
    change, x = a_change(), an_input()
    assert torch.equal(change.run(change.base, x), change.base(x))
    assert torch.equal(change.m, torch.linalg.vector_norm(change.base.weight, dim=1))


def test_the_lengths_are_a_constant_in_the_backward_pass() -> None:
    change, x = moved(a_change(bias=False)), an_input()
    change.run(change.base, x).sum().backward()
    update = change.base.weight + 0.7 * change.b @ change.a
    lengths = update.norm(dim=1).detach()
    wanted = torch.autograd.grad((x @ (change.m[:, None] * update / lengths[:, None]).T).sum(), change.a)
    assert change.a.grad is not None
    assert torch.allclose(change.a.grad, wanted[0], rtol=1e-10)


def test_the_lengths_follow_the_numbers_and_the_weight() -> None:
    change = a_change()
    first = change.lengths()
    assert change.lengths() is first
    moved(change)
    second = change.lengths()
    assert not torch.allclose(second, first)
    with torch.no_grad():
        change.base.weight.mul_(2)
    assert not torch.allclose(change.lengths(), second)


def test_lengths_of_a_pass_of_inference_serve_one_with_gradients() -> None:
    change, x = moved(a_change()), an_input()
    with torch.inference_mode():
        change.run(change.base, x)
    change.run(change.base, x).sum().backward()
    assert change.m.grad is not None


def test_as_one_product_its_gradients_are_those_of_autograd_with_the_same_numbers_left_out() -> None:
    """The backward pass computes the layers again."""
    sites = []
    for outputs in (5, 4):
        change = moved(a_change(outputs))
        change.dropout = DROPOUT
        sites.append(Site(change.base))
        sites[-1].switch(change)
    joint, x = Projection(sites), an_input().requires_grad_()
    y = torch.cat([site(x) for site in sites], -1)
    assert torch.equal(joint.forward(x.detach()), y)
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    wanted = torch.autograd.grad(y, (x, *joint.leaves), dy)
    dx, grads = joint.backward(x.detach(), dy, True)
    assert dx is not None
    assert len(grads) == 6
    for found, right in zip((dx, *grads), wanted, strict=True):
        assert torch.allclose(found, right, rtol=1e-10, atol=1e-12)
    with_all = torch.cat([site.on.run(site.base, x) for site in sites if _off(site.on)], -1)
    assert not torch.allclose(with_all, y)


def _off(change: object) -> bool:
    assert isinstance(change, DoraChange)
    change.dropout = None
    return True


def test_the_lengths_are_those_of_the_layer_that_another_adapter_was_merged_into() -> None:
    model = tiny_model()
    quantize(model, 8, "cpu")
    dora = attach("dora", model, rank=2, targets=("q_proj",), slot="dora")
    shake(dora.parameters())
    dora.updated()
    ids = torch.tensor([[5, 7, 9]])
    with torch.no_grad():
        before = model(input_ids=ids).logits
        other = attach("lora", model, rank=2, targets=("q_proj",), slot="other")
        shake(other.parameters(), size=0.5)
        other.updated()
        other.merge()
        slots_of(model).use("dora")
        answers = model(input_ids=ids).logits
        assert distance(answers, before) > 0.01
        dora.merge()
        assert distance(model(input_ids=ids).logits, answers) < 1e-5
