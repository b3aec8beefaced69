"""The table of methods, and the check every `load` makes before it copies anything."""

from __future__ import annotations

import pytest
import torch

from rung.errors import AdapterError, UsageError
from rung.methods import METHODS
from rung.methods.method import require_fit

OWN = {"a": torch.zeros(2, 3), "b": torch.zeros(4)}


def test_the_table_holds_each_method_under_its_own_name() -> None:
    assert {"lora", "full"} <= set(METHODS)
    for name, method in METHODS.items():
        assert method.name == name
        assert method.title
        assert 0 < method.learning_rate < 1


def test_an_unknown_method_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'lora'"):
        METHODS["lorra"]


def test_a_state_that_fits_passes_whatever_its_order() -> None:
    require_fit(OWN, {"b": torch.ones(4), "a": torch.ones(2, 3)})


@pytest.mark.parametrize(
    ("state", "what"),
    [
        ({"a": torch.zeros(2, 3)}, "1 tensors are missing or unknown, such as b"),
        ({**OWN, "c": torch.zeros(1)}, "1 tensors are missing or unknown, such as c"),
        ({**OWN, "b": torch.zeros(5)}, r"b has shape \(5,\), not \(4,\)"),
        ({**OWN, "a": torch.zeros(3, 2)}, r"a has shape \(3, 2\), not \(2, 3\)"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(state: dict[str, torch.Tensor], what: str) -> None:
    with pytest.raises(AdapterError, match=what):
        require_fit(OWN, state)
