"""Which linear layers are found, and how they are replaced."""

from __future__ import annotations

import pytest
from torch import nn

from rung.errors import UsageError
from rung.methods.targets import layer_of, linear_layers, replace
from tiny_model import tiny_model

NAMES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.mark.parametrize("tied", [True, False])
def test_all_linear_layers_but_the_head_in_model_order(tied: bool) -> None:
    found = linear_layers(tiny_model(tied=tied))
    assert [name.rsplit(".", 1)[-1] for name in found] == NAMES * 2
    assert not any("head" in name for name in found)
    assert all(isinstance(layer, nn.Linear) for layer in found.values())


def test_only_the_named_ones() -> None:
    found = linear_layers(tiny_model(), ("v_proj", "q_proj"))
    assert [name.rsplit(".", 1)[-1] for name in found] == ["q_proj", "v_proj"] * 2


def test_only_those_of_the_top_layers() -> None:
    found = linear_layers(tiny_model(), ("v_proj",), top_layers=1)
    assert list(found) == ["model.layers.1.self_attn.v_proj"]


@pytest.mark.parametrize("count", [0, 3])
def test_more_layers_than_there_are_or_none_are_refused(count: int) -> None:
    with pytest.raises(UsageError, match=f"the top {count} layers are asked for, and the base has 2"):
        linear_layers(tiny_model(), top_layers=count)


def test_the_layer_a_name_belongs_to() -> None:
    assert layer_of("model.layers.11.mlp.up_proj") == 11
    assert layer_of("transformer.h.3.attn.c_attn") == 3
    assert layer_of("lm_head") is None


def test_names_are_whole_parts() -> None:
    with pytest.raises(UsageError, match="no linear layer is called 'proj'"):
        linear_layers(tiny_model(), ("proj",))


def test_one_unknown_name_among_known_ones_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"'query'.*This base has: .*q_proj"):
        linear_layers(tiny_model(), ("q_proj", "query"))
    with pytest.raises(UsageError, match="Did you mean 'gate_proj'"):
        linear_layers(tiny_model(), ("gate_prj",))


def test_a_module_without_a_head_works_too() -> None:
    assert list(linear_layers(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))) == ["0"]


@pytest.mark.parametrize("name", ["0", "1.0"])
def test_replace_puts_a_module_in_its_place(name: str) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2)))
    fresh = nn.Identity()
    replace(model, name, fresh)
    assert model.get_submodule(name) is fresh
