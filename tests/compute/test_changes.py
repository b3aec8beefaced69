"""What a change is unless a method says otherwise."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rung.compute.changes import Change


class Both(Change):
    def before(self, x: Tensor) -> Tensor:
        return 2 * x

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        return y + x.sum(-1, keepdim=True)


def test_what_is_before_and_what_is_after_the_layer() -> None:
    layer, x = nn.Linear(3, 2), torch.ones(4, 3)
    assert torch.equal(Both().run(layer, x), layer(2 * x) + 3)
    assert torch.equal(Change().run(layer, x), layer(x))


def test_it_is_no_sum_and_cannot_be_merged() -> None:
    assert Both.joint([Both()], [2]) is None
    assert Both.of_rows([None]) is None
    with pytest.raises(NotImplementedError, match="Both cannot be merged"):
        Both().merged(torch.ones(2, 3), None)
