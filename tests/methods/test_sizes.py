"""What a method trains, measured on a base that stays as it is."""

from __future__ import annotations

from families import model_of
from rung.methods import METHODS
from rung.methods.sizes import sizes_of
from rung.methods.slots import slots_of
from tiny_model import copy_of, same_bytes, tiny_model


def test_every_method_is_measured_and_gone_afterwards() -> None:
    model = tiny_model()
    before, modules = copy_of(model), [type(m) for m in model.modules()]
    for _, method in METHODS.items():
        size = sizes_of(method, model)
        assert size.refused == ""
        assert 0 < size.trained <= size.bytes
    assert same_bytes(copy_of(model), before)
    assert [type(m) for m in model.modules()] == modules
    assert slots_of(model).names == []


def test_the_numbers_of_lora_are_those_of_its_file() -> None:
    size = sizes_of(METHODS["lora"], tiny_model())
    wide = {"q": 64, "k": 48, "v": 48, "o": 64, "gate": 96, "up": 96, "down": 96}
    assert size.trained == 2 * 16 * sum(wide.values())
    assert size.bytes == 4 * size.trained


def test_a_base_that_cannot_take_it_is_said() -> None:
    assert "no linear layer" in sizes_of(METHODS["lora"], _no_linear()).refused


def _no_linear():  # type: ignore[no-untyped-def]
    from torch import nn

    model = model_of("llama")
    model.model.layers = nn.ModuleList()
    return model
