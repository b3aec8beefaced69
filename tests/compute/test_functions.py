"""Hand-written gradients against numeric ones; whole layers are compared with transformers in test_body."""

from __future__ import annotations

import pytest
import torch
from transformers.activations import ACT2FN

from rung.compute.functions import ACTIVATIONS, Norm, _activated, _activated_backward, _rotate


def test_gradient_of_the_norm() -> None:
    torch.manual_seed(0)
    h = torch.randn(5, 8, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: Norm.apply(a, b, 1e-5), (h, weight))


def test_gradient_of_the_norm_of_heads_with_wide_factors() -> None:
    torch.manual_seed(0)
    h = torch.randn(5, 2, 8, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: Norm.apply(a, b, 1e-5), (h, weight))
    narrow, wide = torch.randn(5, 8).bfloat16().requires_grad_(), torch.randn(8).requires_grad_()
    Norm.apply(narrow, wide, 1e-5).sum().backward()
    assert (narrow.grad.dtype, wide.grad.dtype) == (torch.bfloat16, torch.float32)


def test_heads_are_turned_in_their_first_columns_alone() -> None:
    x, angle = torch.randn(3, 2, 8), torch.randn(3, 1, 2)
    out = _rotate(x, angle.cos(), angle.sin())
    assert torch.equal(out[..., 4:], x[..., 4:])
    assert torch.allclose(out[..., :2], x[..., :2] * angle.cos() - x[..., 2:4] * angle.sin())
    assert torch.allclose(_rotate(out, angle.cos(), -angle.sin()), x, atol=1e-6)


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_gradient_of_the_activations(act: str) -> None:
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    grad, out = torch.randn(5, 3, dtype=torch.float64), torch.empty(5, 3, dtype=torch.float64)
    y = _activated(act, x)
    assert torch.allclose(y, ACT2FN[act](x))
    y.backward(grad)
    _activated_backward(act, grad, x.detach(), out)
    assert torch.allclose(out, x.grad)
