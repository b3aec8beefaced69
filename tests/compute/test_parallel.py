"""What is next to a module is added to its output, whoever runs it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rung.compute import body
from rung.compute.parallel import parallel_of, put_parallel
from rung.compute.passes import over_segments
from tiny_model import distance, tiny_model


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, str]:
        return 2 * x, "state"


def test_it_is_added_while_it_is_there() -> None:
    one, other, third = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)
    x = torch.randn(2, 3)
    assert parallel_of(one) is None
    put_parallel(one, other)
    assert parallel_of(one) is other
    assert torch.equal(one(x), nn.functional.linear(x, one.weight, one.bias) + other(x))
    put_parallel(one, third)
    assert torch.equal(one(x), nn.functional.linear(x, one.weight, one.bias) + third(x))
    assert [name for name, _ in one.named_modules()] == [""]
    put_parallel(one, None)
    assert parallel_of(one) is None
    assert torch.equal(one(x), nn.functional.linear(x, one.weight, one.bias))


def test_of_several_outputs_it_is_added_to_the_first() -> None:
    one, other = Pair(), nn.Linear(3, 3)
    put_parallel(one, other)
    x = torch.randn(2, 3)
    out, state = one(x)
    assert torch.equal(out, 2 * x + other(x))
    assert state == "state"


@pytest.mark.parametrize("layer", [0, 1])
def test_the_fused_path_adds_it_as_the_model_does(layer: int) -> None:
    """In the last layer too, where it is computed for the wanted rows alone."""
    model = tiny_model()
    mlp = model.model.layers[layer].mlp
    one, _ = over_segments(model, [[5, 6, 7], [8, 9]], ends=True)
    with torch.no_grad():
        plain = body.hidden_states(model, one)
        put_parallel(mlp, nn.Linear(32, 32))
        fused = body.hidden_states(model, one)
        body.refuse(model, "for a test")
        assert distance(fused, body.hidden_states(model, one)) < 1e-5
    assert distance(fused, plain) > 0.01
