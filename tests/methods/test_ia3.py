"""IA3's own; what every method promises is in tests/contract."""

from __future__ import annotations

import pytest
import torch

from attaching import attach
from families import model_of
from rung.methods.ia3 import Factors
from tiny_model import tiny_model


def test_factors_of_keys_and_values_and_of_what_the_mlp_ends_in() -> None:
    found = attach("ia3", tiny_model()).named()
    shapes = {
        name.removeprefix("model.layers.0."): tuple(t.shape) for name, t in found.items() if ".0." in name
    }
    assert shapes == {
        "self_attn.k_proj.ia3_l": (16, 1),
        "self_attn.v_proj.ia3_l": (16, 1),
        "mlp.down_proj.ia3_l": (1, 64),
    }


def test_other_layers_where_they_are_asked_for() -> None:
    ia3 = attach("ia3", tiny_model(), targets=("q_proj", "up_proj"), inputs=("up_proj",))
    assert {(name.rpartition(".")[2], one.of_inputs) for name, one in ia3.changes.items()} == {  # type: ignore[attr-defined]
        ("q_proj", False),
        ("up_proj", True),
    }


@pytest.mark.parametrize("of_inputs", [False, True])
def test_a_layer_with_a_bias_is_scaled_as_the_paper_says(of_inputs: bool) -> None:
    base = torch.nn.Linear(3, 2).double()
    change = Factors(base, of_inputs)
    with torch.no_grad():
        change.ia3_l.copy_(torch.linspace(2, 3, change.ia3_l.numel()).view_as(change.ia3_l))
    x = torch.randn(4, 3, dtype=torch.float64)
    factors = change.ia3_l.flatten()
    wanted = base(x * factors) if of_inputs else base(x) * factors
    assert torch.allclose(change.run(base, x), wanted)
    weight, bias = change.merged(base.weight, base.bias)
    assert bias is not None
    assert torch.allclose(x @ weight.T + bias, wanted)


def test_on_a_family_whose_two_outputs_have_one_name() -> None:
    """c_proj ends the attention and the MLP of GPT-2."""
    ia3 = attach("ia3", model_of("gpt2"))
    assert {name.split(".", 3)[-1] for name in ia3.changes} == {"attn.c_attn", "mlp.c_proj"}  # type: ignore[attr-defined]
