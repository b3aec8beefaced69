"""Keys of adapter_config.json that several methods share; the gate of LoRA tries the rest."""

from __future__ import annotations

import pytest

from rung.methods.adapter import Unreadable
from rung.methods.peft_keys import (
    layer_names,
    layer_numbers,
    pattern,
    read_pattern,
    refuse_others,
    target_names,
)

LAYERS = ["model.layers.0.self_attn.q_proj", "model.layers.3.mlp.up_proj"]


def test_names_are_short_unless_whole_ones_were_asked_for() -> None:
    facts = {"layers": LAYERS, "short": True}
    assert target_names(facts, ()) == ["q_proj", "up_proj"]
    assert target_names(facts, ("q_proj", "up_proj")) == ["q_proj", "up_proj"]
    assert target_names(facts, ("self_attn.q_proj",)) == sorted(LAYERS)


def test_names_are_whole_where_short_ones_mean_other_layers_too() -> None:
    assert target_names({"layers": LAYERS, "short": False}, ("attention",)) == sorted(LAYERS)


def test_a_pattern_is_short_where_all_layers_agree() -> None:
    ranks = {"a.0.q": 2, "a.1.q": 2, "a.0.k": 8, "a.1.k": 4, "a.0.v": 8}
    assert pattern(ranks, 8) == {"q": 2, "a.1.k": 4}
    assert pattern(ranks, 2) == {"a.0.k": 8, "a.1.k": 4, "v": 8}
    assert pattern({"a.0.q": 2}, 2) == {}


def test_a_pattern_is_read_where_it_is_plain() -> None:
    def fine(value: object) -> bool:
        return value == 4

    assert read_pattern({"p": {"q_proj": 4, "a.b": 4}}, "p", fine) == {"q_proj": 4, "a.b": 4}
    assert read_pattern({"p": None}, "p", fine) == read_pattern({}, "p", fine) == {}
    for value, why in (
        ([4], "p is no mapping"),
        ({"q.*": 4}, "p has 'q.[*]', which is no plain layer name"),
        ({"q": 5}, "p cannot give q 5"),
    ):
        with pytest.raises(Unreadable, match=why):
            read_pattern({"p": value}, "p", fine)


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
