"""Names of modules: the layer they are in, what follows it, and another module in their place."""

from __future__ import annotations

import pytest
from torch import nn

from rung.compute.names import layer_of, replace, within


def test_the_layer_a_name_belongs_to() -> None:
    assert layer_of("model.layers.11.mlp.up_proj") == 11
    assert layer_of("transformer.h.3.attn.c_attn") == 3
    assert layer_of("lm_head") is None


def test_what_follows_the_layer() -> None:
    assert within("model.layers.11.mlp.up_proj") == "mlp.up_proj"
    assert within("transformer.h.3.attn.c_attn") == "attn.c_attn"
    assert within("lm_head") == "lm_head"


@pytest.mark.parametrize("name", ["0", "1.0"])
def test_replace_puts_a_module_in_its_place(name: str) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2)))
    fresh = nn.Identity()
    replace(model, name, fresh)
    assert model.get_submodule(name) is fresh
