"""Which weights are trained; what every method promises is in tests/contract."""

from __future__ import annotations

import pytest

from attaching import attach
from families import model_of
from rung.compute.names import layer_of
from rung.errors import UsageError
from tiny_model import tiny_model


def test_the_top_layers_and_nothing_else() -> None:
    freeze = attach("freeze", tiny_model(), top_layers=1)
    assert {layer_of(name) for name in freeze.named()} == {1}
    assert freeze.frozen_layers() == 1
    assert len(freeze.named()) == 9
    assert freeze.settings.top_layers == 1


def test_a_quarter_of_the_layers_but_one_at_least() -> None:
    assert attach("freeze", tiny_model()).settings.top_layers == 1


def test_more_layers_than_there_are_are_refused() -> None:
    with pytest.raises(UsageError, match="the top 3 layers are asked for, and the base has 2"):
        attach("freeze", tiny_model(), top_layers=3)


def test_biases_where_a_base_has_some() -> None:
    names = set(attach("bitfit", model_of("gpt2")).named())
    assert names
    assert all(name.endswith(".bias") for name in names)


def test_norms_where_a_base_has_no_biases() -> None:
    names = set(attach("bitfit", tiny_model()).named())
    assert len(names) == 5
    assert all("norm" in name for name in names)
