"""What counts as a linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from rung.compute.linears import is_linear, product, weight_of


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
