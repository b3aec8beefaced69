"""Several linear layers as one product: the same numbers and gradients as one by one, frozen or trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rung.compute.changes import Change
from rung.compute.projection import Projection
from rung.compute.quantized import QuantizedLinear
from rung.compute.sites import Site
from rung.methods.low_rank import LowRankChange
from tiny_model import shake

SIZES = (5, 3, 4)


def layers(bias: bool = False, trained: bool = False) -> list[nn.Linear]:
    draw = torch.Generator().manual_seed(0)
    made = [nn.Linear(6, size, bias=bias).double().requires_grad_(trained) for size in SIZES]
    with torch.no_grad():
        for parameter in (p for one in made for p in one.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=draw))
    return made


def adapted(linears: list[nn.Linear], which: tuple[int, ...]) -> list[nn.Module]:
    draw = torch.Generator().manual_seed(1)
    return [with_low_rank(one, 2 + i, draw) if i in which else one for i, one in enumerate(linears)]


def with_low_rank(one: nn.Linear, rank: int, draw: torch.Generator) -> Site:
    change = LowRankChange(one, rank, 0.7, draw)
    shake([change.b], size=0.5, seed=rank)
    site = Site(one)
    site.switch(change)
    return site


def tensors() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(2)
    x, dy = (torch.randn(7, n, generator=draw, dtype=torch.float64) for n in (6, sum(SIZES)))
    return x, dy


def by_autograd(modules: list[nn.Module], leaves: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The output, then the gradients of x and of the leaves, one layer at a time."""
    x, dy = tensors()
    x.requires_grad_()
    outs = []
    for module in modules:
        on = module.on if isinstance(module, Site) else None
        base = module.base if isinstance(module, Site) else module
        if isinstance(on, LowRankChange):
            update = linear(linear(x, on.a), on.b) * on.scale
            outs.append(linear(x, base.weight, base.bias) + update)
        elif isinstance(on, Bent):
            outs.append(torch.sin(linear(x * on.scale, base.weight, base.bias)) * on.size)
        else:
            assert isinstance(base, nn.Linear | QuantizedLinear)
            outs.append(linear(x, base.weight, base.bias))
    y = torch.cat(outs, 1)
    if not y.requires_grad:
        return (y,)
    return y.detach(), *torch.autograd.grad((y * dy).sum(), [x, *leaves])


def require_equal(projection: Projection, modules: list[nn.Module]) -> None:
    """The output and all gradients are those of autograd, one layer at a time."""
    wanted_y, wanted_dx, *wanted = by_autograd(modules, projection.leaves)
    x, dy = tensors()
    with torch.no_grad():
        y = projection.forward(x)
        dx, grads = projection.backward(x, dy, True)
    assert torch.allclose(y, wanted_y, rtol=1e-12)
    assert dx is not None
    assert torch.allclose(dx, wanted_dx, rtol=1e-12)
    for mine, other in zip(grads, wanted, strict=True):
        assert torch.allclose(mine, other, rtol=1e-12)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("which", [(), (0, 1, 2), (0, 2), (1,)])
@pytest.mark.parametrize("trained", [False, True])
def test_equals_one_layer_at_a_time(bias: bool, which: tuple[int, ...], trained: bool) -> None:
    modules = adapted(layers(bias, trained), which)
    projection = Projection(modules)
    assert len(projection.leaves) == 2 * len(which) + trained * (1 + bias) * 3
    require_equal(projection, modules)


def test_an_input_that_wants_no_gradient_gets_none() -> None:
    x, dy = tensors()
    dx, grads = Projection(adapted(layers(), (0,))).backward(x, dy, False)
    assert dx is None
    assert len(grads) == 2


def test_frozen_weights_come_to_lie_side_by_side_and_stay_what_they_are() -> None:
    linears = layers()
    before = [one.weight.clone() for one in linears]
    projection = Projection(linears)
    assert len({one.weight.untyped_storage().data_ptr() for one in linears}) == 1
    assert all(torch.equal(one.weight, kept) for one, kept in zip(linears, before, strict=True))
    x, _ = tensors()
    with torch.no_grad():
        linears[1].weight.mul_(2)  # as merging does
        assert torch.allclose(projection.forward(x)[:, 5:8], linear(x, before[1] * 2))


def test_they_can_be_trained_next_to_though_they_were_first_read_in_inference_mode() -> None:
    modules = layers()
    with torch.inference_mode():
        Projection(modules)
    site = Site(modules[0])
    site.switch(Bent(modules[0]))
    x, dy = tensors()
    dx, grads = Projection([site, *modules[1:]]).backward(x, dy, True)
    assert dx is not None
    assert len(grads) == 2


def test_weights_that_point_elsewhere_later_are_read_there() -> None:
    linears = layers()
    projection = Projection(linears)
    x, _ = tensors()
    linears[2].weight.data = torch.ones_like(linears[2].weight)
    with torch.no_grad():
        assert torch.allclose(projection.forward(x)[:, 8:], x.sum(1, keepdim=True).expand(-1, 4))


def test_an_update_that_is_off_adds_nothing() -> None:
    modules = adapted(layers(), (0, 1))
    projection = Projection(modules)
    x, dy = tensors()
    first = modules[0]
    assert isinstance(first, Site)
    first.switch(None)
    assert len(projection.leaves) == 2
    wanted_y, wanted_dx, *_ = by_autograd(modules, projection.leaves)
    with torch.no_grad():
        assert torch.allclose(projection.forward(x), wanted_y, rtol=1e-12)
        dx, grads = projection.backward(x, dy, True)
    assert dx is not None
    assert torch.allclose(dx, wanted_dx, rtol=1e-12)
    assert len(grads) == 2


class Bent(Change):
    """Something before the layer, and something after it that is no sum."""

    def __init__(self, one: nn.Linear) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.linspace(0.5, 2, one.in_features, dtype=torch.float64))
        self.size = nn.Parameter(torch.linspace(-1, 2, one.out_features, dtype=torch.float64))

    def before(self, x: Tensor) -> Tensor:
        return x * self.scale

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.sin(y) * self.size


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("which", [(0, 1, 2), (1,)])
@pytest.mark.parametrize("mixed", [False, True])
def test_changes_of_any_kind_get_their_gradients(bias: bool, which: tuple[int, ...], mixed: bool) -> None:
    modules = adapted(layers(bias), (2,) if mixed else ())
    for i in which:
        if not isinstance(modules[i], Site):
            one = modules[i]
            assert isinstance(one, nn.Linear)
            modules[i] = Site(one)
            modules[i].switch(Bent(one))  # type: ignore[operator]
    projection = Projection(modules)
    x, dy = tensors()
    wanted_y, wanted_dx, *wanted = by_autograd(modules, projection.leaves)
    with torch.no_grad():
        assert torch.allclose(projection.forward(x), wanted_y, rtol=1e-12)
    dx, grads = projection.backward(x, dy, True)
    assert dx is not None
    assert torch.allclose(dx, wanted_dx, rtol=1e-12)
    assert len(grads) == len(wanted)
    for mine, other in zip(grads, wanted, strict=True):
        assert torch.allclose(mine, other, rtol=1e-12)
    nothing, again = projection.backward(x, dy, False)
    assert nothing is None
    assert all(torch.equal(one, other) for one, other in zip(again, grads, strict=True))


def test_what_is_no_linear_layer_is_refused() -> None:
    with pytest.raises(TypeError, match="Embedding"):
        Projection([nn.Linear(6, 5), nn.Embedding(6, 5)])


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("which", [(), (0, 1, 2), (1,)])
@pytest.mark.parametrize("few", [(0, 1, 2), (2,)])
def test_layers_held_in_few_bits(bits: Any, which: tuple[int, ...], few: tuple[int, ...]) -> None:
    """As one at a time with the weights that their codes mean."""
    held: list[Any] = layers(bias=True)
    for i in few:
        held[i] = QuantizedLinear(held[i].weight, held[i].bias, bits)
    modules = adapted(held, which)
    projection = Projection(modules)
    assert len(projection.leaves) == 2 * len(which)
    require_equal(projection, modules)


class Shared(Change):
    """A factor that it shares with others, and a number that it does not use."""

    def __init__(self, factor: nn.Parameter, unused: nn.Parameter) -> None:
        super().__init__()
        self.factor, self.unused = factor, unused

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        return y * self.factor


def test_what_several_changes_share_gets_its_gradient_once_and_what_none_uses_gets_none() -> None:
    factor, unused = (nn.Parameter(torch.full((1,), 1.5, dtype=torch.float64)) for _ in range(2))
    modules: list[nn.Module] = []
    for one in layers():
        site = Site(one)
        site.switch(Shared(factor, unused))
        modules.append(site)
    projection = Projection(modules)
    x, dy = tensors()
    assert [id(leaf) for leaf in projection.leaves] == [id(factor), id(unused)]
    y = projection.forward(x)
    _, (found, nothing) = projection.backward(x, dy, True)
    assert nothing is None
    assert torch.allclose(found, (y * dy).sum() / factor.detach())


def test_weights_that_were_moved_while_nothing_was_trained_can_be_read_in_training() -> None:
    linears = layers()
    with torch.inference_mode():
        Projection(linears)
    assert not any(one.weight.data.is_inference() for one in linears)
