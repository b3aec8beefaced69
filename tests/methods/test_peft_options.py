"""Options of PEFT's methods as settings."""

from __future__ import annotations

from typing import Any

import pytest

from bridged import RUN
from rung.config import make_settings
from rung.errors import UsageError
from rung.ladder.options import settings_of
from rung.methods import METHODS
from rung.methods.peft_modules import config_class
from rung.methods.peft_options import left_over, of_config


@pytest.mark.parametrize(
    ("asked", "value"),
    [
        ({"options": "peft:vera.r=64"}, 64),
        ({"peft:vera": {"r": 64}}, 64),
        ({"options": ["peft:vera.r=8", "peft:vera.d-initial=0.5"]}, 8),
    ],
)
def test_they_come_from_flags_and_from_a_section(asked: dict[str, Any], value: int) -> None:
    found = settings_of(make_settings(asked), "peft:vera")
    assert found.r == value
    assert "r" in found.asked()
    assert "projection_prng_key" not in found.asked()


@pytest.mark.parametrize(
    ("kind", "given", "why"),
    [
        ("vera", {"rr": 1}, "no option 'rr'. Did you mean 'r'"),
        ("vera", {"r": "many"}, "peft:vera.r cannot be 'many'"),
        ("vera", {"vera_dropout": 0.1}, "vera_dropout cannot be 0.1: it must stay 0"),
        ("vera", {"bias": "all"}, "no option 'bias'"),
        ("lora", {"modules_to_save": "lm_head"}, "no option 'modules_to_save'"),
    ],
)
def test_what_cannot_be_is_one_paragraph(kind: str, given: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        METHODS[f"peft:{kind}"].make(given)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("q_proj,v_proj", ["q_proj", "v_proj"]),
        ("q_proj", ["q_proj"]),
        ("all-linear", "all-linear"),
        (r".*\.[qv]_proj", r".*\.[qv]_proj"),
    ],
)
def test_names_of_layers_are_a_list_unless_they_are_an_expression(text: str, value: Any) -> None:
    assert METHODS["peft:vera"].make({"target_modules": text}).target_modules == value


@pytest.mark.parametrize("kind", RUN)
def test_defaults_are_those_of_peft_and_a_configuration_is_read_back(kind: str) -> None:
    options, config = METHODS[f"peft:{kind}"].Settings, config_class(kind)()
    made = options()
    for name in options.model_fields:
        if "target" not in name:  # which PEFT makes a set of
            assert getattr(made, name) == getattr(config, name), name
    written = config.to_dict()
    assert options(**of_config(options, written)) == made  # type: ignore[arg-type]
    assert not any(left_over(options, {k: v for k, v in written.items() if k != "bias"}).values())  # type: ignore[arg-type]
