"""A linear layer with the changes of several adapters: one at a time, and the layer itself in the end."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rung.compute.changes import Change
from rung.compute.sites import close, site_of
from rung.errors import UsageError


class Twice(Change):
    def before(self, x: Tensor) -> Tensor:
        return 2 * x


class Plus(Change):
    def after(self, x: Tensor, y: Tensor) -> Tensor:
        return y + x.sum(-1, keepdim=True)


def a_model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 2), nn.Sequential(nn.Linear(2, 2)))


def test_one_change_at_a_time_and_the_layer_in_the_end() -> None:
    model = a_model()
    first, x = model[0], torch.ones(4, 3)
    plain = first(x)
    twice, plus = Twice(), Plus()
    site = site_of(model, "0")
    assert site_of(model, "0") is site is model[0]
    assert (site.in_features, site.out_features) == (3, 2)
    site.changes |= {"a": twice, "b": plus}
    assert torch.equal(site(x), plain)
    site.switch(twice)
    assert torch.equal(site(x), first(2 * x))
    site.switch(plus)
    assert torch.equal(site(x), plain + 3)
    close(model, "0", "b")
    assert torch.equal(model[0](x), plain)
    assert model[0] is site
    close(model, "0", "a")
    assert model[0] is first


def test_the_parameters_of_the_model_are_those_of_the_base() -> None:
    model = a_model()
    site = site_of(model, "1.0")
    change = Plus()
    change.size = nn.Parameter(torch.ones(1))
    site.changes["a"] = change
    site.switch(change)
    assert [name for name, _ in model.named_parameters()] == [
        *("0.weight", "0.bias", "1.0.base.weight", "1.0.base.bias")
    ]


def test_a_base_that_reads_the_weight_itself_gets_one_with_the_change_or_an_error() -> None:
    model = a_model()
    site = site_of(model, "0")
    assert site.weight is site.base.weight
    site.switch(Plus())
    with pytest.raises(UsageError, match="reads the weight of a linear layer itself, and Plus cannot be"):
        _ = site.weight
