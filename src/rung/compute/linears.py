"""Linear layers, however a model keeps their weights: here every weight is (out, in).

GPT-2 and its relatives keep it the other way round (`Conv1D`).
"""

from __future__ import annotations

from typing import TypeAlias, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

Linear: TypeAlias = nn.Linear | Conv1D


def is_linear(module: nn.Module) -> TypeGuard[Linear]:
    """Whether a module computes x W^T + b and nothing else; one that changes how is tried on some numbers."""
    if not isinstance(module, nn.Linear):
        return isinstance(module, Conv1D)
    if type(module).forward is nn.Linear.forward:
        return True
    weight = module.weight
    x = torch.randn(2, module.in_features, generator=torch.Generator().manual_seed(0)).to(weight)
    with torch.no_grad():
        out = module(x)
        return isinstance(out, Tensor) and torch.allclose(out, linear(x, weight, module.bias), 1e-2, 1e-2)


def weight_of(layer: Linear) -> Tensor:
    """The weight (out, in); a view of the layer's own."""
    weight: Tensor = layer.weight
    return weight.T if isinstance(layer, Conv1D) else weight


def product(layer: Linear, x: Tensor) -> Tensor:
    """x W^T + b: (..., in) -> (..., out)."""
    return linear(x, weight_of(layer), layer.bias)
