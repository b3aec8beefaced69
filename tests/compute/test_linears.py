"""What counts as a linear layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from rung.compute.linears import is_linear, product, shape_of, weight_of, writable
from rung.compute.quantized import QuantizedLinear


class Doubled(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Pair(nn.Linear):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(x), x


class Spelled(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T + self.bias


def test_a_linear_layer_by_name_that_computes_something_else_is_none() -> None:
    layers = [Doubled(4, 3), Pair(4, 3), Spelled(4, 3), nn.Linear(4, 3), Conv1D(3, 4), nn.ReLU()]
    assert [is_linear(layer) for layer in layers] == [False, False, True, True, True, False]


def test_a_weight_kept_the_other_way_round() -> None:
    layer = Conv1D(3, 4)
    x = torch.ones(2, 4)
    assert weight_of(layer).shape == (3, 4)
    assert torch.allclose(product(layer, x), layer(x))


@pytest.mark.parametrize("bits", [4, 8])
def test_a_layer_held_in_few_bits(bits: Any) -> None:
    full = nn.Linear(40, 24)
    layer = QuantizedLinear(full.weight, full.bias, bits)
    assert is_linear(layer)
    assert shape_of(layer) == shape_of(full) == (24, 40)
    assert torch.equal(weight_of(layer), layer.weight)
    opened = writable(layer)
    assert isinstance(opened, nn.Linear)
    assert torch.equal(opened.weight, layer.weight)
    assert opened.bias is layer.bias
    assert writable(full) is full
    x = torch.randn(3, 40)
    assert torch.equal(product(layer, x), product(opened, x))
