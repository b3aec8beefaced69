"""Linear layers that read the same input, as one product, with their gradients spelled out.

    y = x W^T + b          dx = dy W     dW = dy^T x     db = sum over rows of dy          W = [W1; W2; ...]

Queries, keys and values are one product, gate and up another: fewer and wider products run faster. Changes
at the layers (`rung.compute.sites`) that are sums join in, with gradients of their own. With others the
layers are computed one by one, and once more by autograd in the backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rung.compute.changes import Change, Update, kind_of
from rung.compute.quantized import QuantizedLinear
from rung.compute.sites import Site

Frozen = nn.Linear | QuantizedLinear


class Projection:
    """Linear layers that read the same input, or their sites."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        """Raises TypeError where a module is neither."""
        self.modules = tuple(modules)
        self.linears = [_linear(module) for module in modules]
        self.sizes = [linear.out_features for linear in self.linears]
        self._seen: list[Change | None] = [None for _ in modules]
        self._update: Update | None = None
        _place_side_by_side(self.linears)

    @property
    def leaves(self) -> tuple[nn.Parameter, ...]:
        """What is trained: the changes' leaves, or else the layers' own weights and biases."""
        own: list[Any] = []
        for one in self.linears:
            own += [one.weight] if isinstance(one, nn.Linear) and one.weight.requires_grad else []
            own += [one.bias] if one.bias is not None and one.bias.requires_grad else []
        changes, update = self._changes()
        if update is not None:
            return (*own, *update.leaves)
        shared = dict.fromkeys(p for one in changes if one for p in one.parameters())  # each once
        return (*own, *shared)

    def forward(self, x: Tensor) -> Tensor:
        """x (T, in) -> (T, sum of out)."""
        changes, update = self._changes()
        if update is None and any(changes):
            return torch.cat([module(x) for module in self.modules], -1)
        y = linear(x, self._weight())  # (T, sum of out)
        at = 0
        for one in self.linears:
            if one.bias is not None:
                y[:, at : at + one.out_features] += one.bias
            at += one.out_features
        if update:
            update.forward(x, y)
        return y

    def backward(self, x: Tensor, dy: Tensor, wants_input: bool) -> tuple[Tensor | None, list[Tensor]]:
        """Gradients of x (T, in), None unless wanted, and of `leaves`, from dy (T, sum of out)."""
        changes, update = self._changes()
        if update is None and any(changes):
            return self._again(x, dy, wants_input)
        dx = dy @ self._weight() if wants_input else None
        grads: list[Tensor] = []
        trained = [isinstance(one, nn.Linear) and one.weight.requires_grad for one in self.linears]
        if any(trained):
            weights = torch.split(dy.T @ x, self.sizes)  # (out, in) of each layer
        at = 0
        for i, one in enumerate(self.linears):
            if trained[i]:
                grads.append(weights[i])
            if one.bias is not None and one.bias.requires_grad:
                grads.append(dy[:, at : at + one.out_features].sum(0))
            at += one.out_features
        if update:
            grads += update.backward(x, dy, dx)
        return dx, grads

    def _again(self, x: Tensor, dy: Tensor, wants_input: bool) -> tuple[Tensor | None, list[Tensor]]:
        """The layers one by one, once more, for their gradients."""
        leaves = self.leaves
        with torch.enable_grad():
            again = x.detach().requires_grad_(wants_input)
            y = torch.cat([module(again) for module in self.modules], -1)
        inputs = (again, *leaves) if wants_input else leaves
        # A change may hold what it shares with others and does not use here.
        dx, *grads = torch.autograd.grad(y, inputs, dy, allow_unused=True) if inputs else (None,)
        return (dx, grads) if wants_input else (None, [dx, *grads])  # type: ignore[list-item]

    def _changes(self) -> tuple[list[Change | None], Update | None]:
        """The change that each layer computes now, and all of them as one update where they can be."""
        now = [module.now if isinstance(module, Site) else None for module in self.modules]
        if any(one is not other for one, other in zip(now, self._seen, strict=True)):
            self._seen = now
            self._update = kind_of(now).joint(now, self.sizes)
        return now, self._update

    def _weight(self) -> Tensor:
        """All weights (sum of out, in): a view where they lie side by side, else made for this product."""
        weights = [one.weight.detach() for one in self.linears if isinstance(one, nn.Linear)]
        if len(weights) < len(self.linears):
            return self._from_codes()
        first = weights[0]
        if _side_by_side(weights):
            return first.as_strided((sum(self.sizes), first.shape[1]), (first.shape[1], 1))
        return torch.cat(weights)

    def _from_codes(self) -> Tensor:
        """All weights (sum of out, in) where some are held in few bits."""
        first = next(one for one in self.linears if isinstance(one, QuantizedLinear))
        shape = sum(self.sizes), first.in_features
        whole = torch.empty(shape, dtype=first.dtype, device=first.codes.device)
        for one, part in zip(self.linears, torch.split(whole, self.sizes), strict=True):
            if isinstance(one, QuantizedLinear):
                one.write(part)
            else:
                part.copy_(one.weight.detach())
        return whole


def _linear(module: nn.Module) -> Frozen:
    inner = module.base if isinstance(module, Site) else module
    if type(inner) is not nn.Linear and not isinstance(inner, QuantizedLinear):
        raise TypeError(f"{type(inner).__name__} is no linear layer")
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


def _place_side_by_side(linears: Sequence[Frozen]) -> None:
    """Move frozen weights into one block of memory; every layer keeps its part as a view."""
    weights = [one.weight for one in linears if isinstance(one, nn.Linear)]
    if len(weights) < len(linears):
        return
    if any(weight.requires_grad for weight in weights) or _side_by_side([w.detach() for w in weights]):
        return
    with torch.inference_mode(False):  # they must stay weights that a gradient can pass
        parts = torch.split(
            torch.cat([weight.data for weight in weights]), [len(weight) for weight in weights]
        )
        for weight, part in zip(weights, parts, strict=True):
            weight.data = part
