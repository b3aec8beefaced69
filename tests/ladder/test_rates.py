"""The learning rate of a method on a base of another width."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from rung.ladder.prepare import Prepared
from rung.ladder.rates import factor, rate_for
from rung.methods import METHODS


def base(width: int, path: str = "plain") -> Prepared:
    text = SimpleNamespace(hidden_size=width, num_hidden_layers=30)
    model = SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: text))
    cpu = SimpleNamespace(type="cpu")
    own = SimpleNamespace(model=model, route=SimpleNamespace(path=path), device=cpu)
    return cast(Prepared, SimpleNamespace(base=own, task=SimpleNamespace(kind="classification")))


def rate(found: Prepared, method: str, **asked: Any) -> float:
    return rate_for(found, method, METHODS[method].make(asked))


@pytest.mark.parametrize("method", list(METHODS))
def test_the_default_base_and_narrower_ones_keep_the_default(method: str) -> None:
    assert factor(576, method) == 1.0
    assert factor(64, method) == 1.0
    assert rate(base(576), method) == METHODS[method].learning_rate


def test_wider_bases_get_lower_rates() -> None:
    assert factor(2304, "lora") == 0.5  # sqrt(1/4)
    assert factor(2304, "full") == 0.25
    assert factor(2304, "ia3") == 1.0
    assert rate(base(2304), "lora") == 5e-4
    assert rate(base(640), "lora") == 9.49e-4  # 0.001 * sqrt(0.9), in three digits
    assert rate(base(4096), "full") == 2.81e-5


def test_the_top_half_of_the_layers_has_a_rate_of_its_own() -> None:
    assert rate(base(576, "fused"), "lora") == METHODS["lora"].half_rate  # by default
    assert rate(base(576), "lora", top_layers=15) == METHODS["lora"].half_rate
    assert rate(base(576, "fused"), "lora", top_layers=16) == METHODS["lora"].learning_rate
    assert rate(base(2304, "fused"), "dora") == 1e-3


def test_methods_of_other_packages_count_as_small_matrices() -> None:
    assert factor(2304, "peft:vera") == factor(2304, "mine") == 0.5


def test_the_width_is_that_of_the_base(prepared: Prepared) -> None:
    assert rate(prepared, "lora") == METHODS["lora"].half_rate
