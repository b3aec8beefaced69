"""Linear layers, however a model keeps their weights: here every weight is (out, in).

GPT-2 and its relatives keep it the other way round (`Conv1D`); a base can be held in few bits
(`rung.compute.quantized`), and then a weight is made where it is read.
"""

from __future__ import annotations

from typing import TypeAlias, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from rung.compute.quantized import QuantizedLinear

Linear: TypeAlias = nn.Linear | Conv1D | QuantizedLinear


def is_linear(module: nn.Module) -> TypeGuard[Linear]:
    """Whether a module computes x W^T + b and nothing else; one that changes how is tried on some numbers."""
    if not isinstance(module, nn.Linear):
        return isinstance(module, Conv1D | QuantizedLinear)
    if type(module).forward is nn.Linear.forward:
        return True
    weight = module.weight
    x = torch.randn(2, module.in_features, generator=torch.Generator().manual_seed(0)).to(weight)
    with torch.no_grad():
        out = module(x)
        return isinstance(out, Tensor) and torch.allclose(out, linear(x, weight, module.bias), 1e-2, 1e-2)


def weight_of(layer: Linear) -> Tensor:
    """The weight (out, in): a view of the layer's own, or made now where that is held in few bits."""
    weight: Tensor = layer.weight
    return weight.T if isinstance(layer, Conv1D) else weight


def shape_of(layer: Linear) -> torch.Size:
    """The shape of the weight: (out, in)."""
    return layer.shape if isinstance(layer, QuantizedLinear) else weight_of(layer).shape


def writable(layer: Linear) -> nn.Linear | Conv1D:
    """The layer, or one with the same weight in full where it is held in few bits."""
    return layer.opened() if isinstance(layer, QuantizedLinear) else layer


def product(layer: Linear, x: Tensor) -> Tensor:
    """x W^T + b: (..., in) -> (..., out)."""
    if isinstance(layer, QuantizedLinear):  # which keeps no weight for the backward pass
        y: Tensor = layer(x)
        return y
    return linear(x, weight_of(layer), layer.bias)
