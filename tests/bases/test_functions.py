"""Hand-written gradients against numeric ones; whole layers are compared with transformers in test_body."""

from __future__ import annotations

import torch

from rung.bases.functions import Norm


def test_gradient_of_the_norm() -> None:
    torch.manual_seed(0)
    h = torch.randn(5, 8, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: Norm.apply(a, b, 1e-5), (h, weight))
