"""Which linear layers are found, and how they are replaced."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from families import model_of
from rung.compute.linears import product, weight_of
from rung.compute.names import layer_of
from rung.compute.quantized import QuantizedLinear, quantize
from rung.errors import BaseModelError, UsageError
from rung.methods.targets import blocks, linear_layers, reach
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


def test_names_are_whole_parts() -> None:
    with pytest.raises(UsageError, match="no linear layer is called 'proj'"):
        linear_layers(tiny_model(), ("proj",))


def test_one_unknown_name_among_known_ones_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"'query'.*This base has: .*q_proj"):
        linear_layers(tiny_model(), ("q_proj", "query"))
    with pytest.raises(UsageError, match="Did you mean 'gate_proj'"):
        linear_layers(tiny_model(), ("gate_prj",))


def test_a_base_without_linear_layers_is_refused() -> None:
    with pytest.raises(BaseModelError, match="Sequential has no linear layer that could be adapted"):
        linear_layers(nn.Sequential(nn.ReLU()))


def test_layers_of_gpt2_are_linear_with_their_weight_the_other_way_round() -> None:
    found = linear_layers(model_of("gpt2"))
    assert [name.split(".", 3)[-1] for name in found][:4] == [
        *("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    ]
    layer = found["transformer.h.0.mlp.c_fc"]
    assert weight_of(layer).shape == (128, 32)
    x = torch.ones(1, 32)
    assert torch.allclose(product(layer, x), layer(x), atol=1e-5)


def test_the_reach_of_all_linear_layers() -> None:
    model = tiny_model(tied=False)
    whole = reach(model, linear_layers(model).values())
    assert whole.share > 0.98  # the rest are norms
    assert whole.experts == 0
    assert reach(model, linear_layers(model, ("q_proj",)).values()).share == pytest.approx(
        32 * 32 / (32 * 32 * 2 + 32 * 16 * 2 + 3 * 32 * 64 + 64)
    )
    assert str(whole) == "the adapted layers hold 99% of the weights"


def test_positions_and_words_do_not_count() -> None:
    model = model_of("gpt2")
    assert reach(model, linear_layers(model).values()).share > 0.98


def test_fused_experts_are_out_of_reach_and_said() -> None:
    model = model_of("mixtral")
    found = reach(model, linear_layers(model).values())
    assert 0.1 < found.share < 0.2
    assert 0.8 < found.experts < 1 - found.share
    assert "are fused experts, which stay as they are" in str(found)


def test_a_module_without_a_head_works_too() -> None:
    assert list(linear_layers(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))) == ["0"]


@pytest.mark.parametrize(
    ("kind", "keys_values", "attention_outputs", "mlp_outputs"),
    [
        ("llama", ["k_proj", "v_proj"], ["o_proj"], ["down_proj"]),
        ("gpt2", ["c_attn"], ["c_proj"], ["c_proj"]),
        ("opt", ["k_proj", "v_proj"], ["out_proj"], ["fc2"]),
        ("gpt_neox", ["query_key_value"], ["dense"], ["dense_4h_to_h"]),
        ("phi3", ["qkv_proj"], ["o_proj"], ["down_proj"]),
        ("bloom", ["query_key_value"], ["dense"], ["dense_4h_to_h"]),
        ("gemma3_text", ["k_proj", "v_proj"], ["o_proj"], ["down_proj"]),
        ("falcon", ["query_key_value"], ["dense"], ["dense_4h_to_h"]),
    ],
)
def test_what_the_layers_of_a_family_are_for(
    kind: str, keys_values: list[str], attention_outputs: list[str], mlp_outputs: list[str]
) -> None:
    found = blocks(model_of(kind))

    def last(names: tuple[str, ...]) -> list[str]:
        return list(dict.fromkeys(name.rpartition(".")[2] for name in names))

    assert last(found.keys_values) == keys_values
    assert last(found.attention_outputs) == attention_outputs
    assert last(found.mlp_outputs) == mlp_outputs
    assert len(found.mlp_outputs) == len({layer_of(name) for name in found.mlp_outputs})
    assert set(found.attention_outputs) < set(found.attention)
    assert not set(found.attention) & set(found.mlp)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mixtral"])
def test_layers_held_in_few_bits_are_linear_layers(kind: str) -> None:
    full, model = model_of(kind), model_of(kind)
    quantize(model, 8, "cpu")
    theirs, found = linear_layers(full), linear_layers(model)
    assert list(found) == list(theirs)
    assert all(isinstance(layer, QuantizedLinear) for layer in found.values())
    some = list(found)[::3]
    assert reach(model, [found[name] for name in some]) == reach(full, [theirs[name] for name in some])


def test_all_linear_attention_and_mlp_are_names_of_many() -> None:
    model = tiny_model()
    whole = linear_layers(model)
    assert list(linear_layers(model, ("all-linear",))) == list(whole)
    attention, mlp = (list(linear_layers(model, (name,))) for name in ("attention", "mlp"))
    assert [name.rpartition(".")[2] for name in attention] == NAMES[:4] * 2
    assert [name.rpartition(".")[2] for name in mlp] == NAMES[4:] * 2
    top = [f"model.layers.1.mlp.{name}" for name in NAMES[4:]]
    assert list(linear_layers(model, ("mlp", "q_proj"), 1)) == ["model.layers.1.self_attn.q_proj", *top]
    assert list(linear_layers(model, ("attention", "mlp"))) == list(whole)


def test_a_base_without_layers_of_that_kind_says_so() -> None:
    with pytest.raises(UsageError, match=r"no linear layer is called 'mlp'.*or take all-linear, attention"):
        linear_layers(model_of("mamba"), ("mlp",))


def test_a_layer_of_that_name_comes_first() -> None:
    model = nn.ModuleDict({"attention": nn.Linear(2, 2), "other": nn.Linear(2, 2)})
    assert list(linear_layers(model, ("attention",))) == ["attention"]
