"""Keys of adapter_config.json that several methods share; the gate of LoRA tries the rest."""

from __future__ import annotations

import pytest

from rung.methods.adapter import Unreadable
from rung.methods.peft_keys import layer_names, layer_numbers, refuse_others, target_names

LAYERS = ["model.layers.0.self_attn.q_proj", "model.layers.3.mlp.up_proj"]


def test_names_are_short_unless_whole_ones_were_asked_for() -> None:
    assert target_names(LAYERS, ()) == ["q_proj", "up_proj"]
    assert target_names(LAYERS, ("q_proj", "up_proj")) == ["q_proj", "up_proj"]
    assert target_names(LAYERS, ("self_attn.q_proj",)) == sorted(LAYERS)


def test_numbers_of_layers() -> None:
    assert layer_numbers([*LAYERS, "lm_head"]) == [0, 3]


def test_a_list_of_plain_names() -> None:
    assert layer_names({"x": ["q_proj", "a.b"]}, "x") == ("q_proj", "a.b")
    for value in (None, [], "q_proj", [1], [".*"], ["a b"]):
        with pytest.raises(Unreadable, match="x must be a list of plain layer names"):
            layer_names({"x": value}, "x")


def test_what_is_not_read_must_be_off() -> None:
    refuse_others({"peft_type": "X", "r": 4, "other": None, "more": False}, {"r"})
    with pytest.raises(Unreadable, match="other is set, which rung does not compute"):
        refuse_others({"r": 4, "other": 1}, {"r"})
