"""Linear layers that read the same input, as one product, with their gradients spelled out.

    y = x W^T + b          dx = dy W     dW = dy^T x     db = sum over rows of dy          W = [W1; W2; ...]

Queries, keys and values are one product, gate and up another: fewer and wider products run faster. A method
that trains next to frozen weights wraps a layer and says, by `joint_update`, what it adds to the whole
product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class Update(Protocol):
    """What a method adds to a product; it works on plain tensors, outside of autograd."""

    @property
    def leaves(self) -> tuple[nn.Parameter, ...]:
        """What is trained, in a fixed order."""
        ...

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Add to y (T, out), in place, what belongs to x (T, in)."""
        ...

    def backward(self, x: Tensor, dy: Tensor, dx: Tensor | None) -> tuple[Tensor, ...]:
        """Gradients of the leaves; adds to dx (T, in), in place, where it is given."""
        ...


class Projection:
    """Linear layers that read the same input, or their wrappers with ``base`` and ``joint_update``."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        """Raises TypeError where a module is neither."""
        self.modules = tuple(modules)
        self.linears = [_linear(module) for module in modules]
        self.sizes = [linear.out_features for linear in self.linears]
        wrapper: Any = next((module for module in modules if hasattr(module, "joint_update")), None)
        self.update: Update | None = wrapper.joint_update(modules) if wrapper is not None else None
        _place_side_by_side(self.linears)

    @property
    def leaves(self) -> tuple[nn.Parameter, ...]:
        """What is trained: the update's leaves, or else the layers' own weights and biases."""
        both = (parameter for one in self.linears for parameter in (one.weight, one.bias))
        own: list[Any] = [
            parameter for parameter in both if parameter is not None and parameter.requires_grad
        ]
        return (*own, *self.update.leaves) if self.update else tuple(own)

    def forward(self, x: Tensor) -> Tensor:
        """x (T, in) -> (T, sum of out)."""
        y = linear(x, self._weight())  # (T, sum of out)
        at = 0
        for one in self.linears:
            if one.bias is not None:
                y[:, at : at + one.out_features] += one.bias
            at += one.out_features
        if self.update:
            self.update.forward(x, y)
        return y

    def backward(self, x: Tensor, dy: Tensor, wants_input: bool) -> tuple[Tensor | None, list[Tensor]]:
        """Gradients of x (T, in), None unless wanted, and of `leaves`, from dy (T, sum of out)."""
        dx = dy @ self._weight() if wants_input else None
        grads: list[Tensor] = []
        if any(one.weight.requires_grad for one in self.linears):
            weights = iter(torch.split(dy.T @ x, self.sizes))  # (out, in) of each layer
        at = 0
        for one in self.linears:
            if one.weight.requires_grad:
                grads.append(next(weights))
            if one.bias is not None and one.bias.requires_grad:
                grads.append(dy[:, at : at + one.out_features].sum(0))
            at += one.out_features
        if self.update:
            grads += self.update.backward(x, dy, dx)
        return dx, grads

    def _weight(self) -> Tensor:
        """All weights (sum of out, in): a view where they lie side by side, else a copy."""
        weights = [one.weight.detach() for one in self.linears]
        first = weights[0]
        if _side_by_side(weights):
            return first.as_strided((sum(self.sizes), first.shape[1]), (first.shape[1], 1))
        return torch.cat(weights)


def _linear(module: nn.Module) -> nn.Linear:
    inner = getattr(module, "base", module) if hasattr(module, "joint_update") else module
    if type(inner) is not nn.Linear:
        raise TypeError(f"{type(module).__name__} is no linear layer")
    return inner


def _side_by_side(weights: Sequence[Tensor]) -> bool:
    end = weights[0].data_ptr()
    storage = weights[0].untyped_storage().data_ptr()
    for weight in weights:
        if weight.data_ptr() != end or not weight.is_contiguous():
            return False
        if weight.untyped_storage().data_ptr() != storage:
            return False
        end += weight.nbytes
    return True


def _place_side_by_side(linears: Sequence[nn.Linear]) -> None:
    """Move frozen weights into one block of memory; every layer keeps its part as a view."""
    weights = [one.weight for one in linears]
    if any(weight.requires_grad for weight in weights) or _side_by_side([w.detach() for w in weights]):
        return
    parts = torch.split(torch.cat([weight.data for weight in weights]), [len(weight) for weight in weights])
    for weight, part in zip(weights, parts, strict=True):
        weight.data = part
