"""The check that every `load` makes before it copies anything, and the settings of a method."""

from __future__ import annotations

import pytest
import torch

from rung.errors import AdapterError, UsageError
from rung.methods.lora import LORA
from rung.methods.method import require_fit

OWN = {"a": torch.zeros(2, 3), "b": torch.zeros(4)}


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


def test_settings_are_made_from_what_a_user_writes() -> None:
    made = LORA.make({"rank": "8", "targets": "q_proj, v_proj", "rslora": "true"})
    assert (made.rank, made.targets, made.rslora) == (8, ("q_proj", "v_proj"), True)
    assert LORA.takes({"rank": 3, "unknown": 1}) == {"rank": 3}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"rnk": 8}, "lora has no option 'rnk'. Did you mean 'rank'"),
        ({"rank": 0}, "lora.rank cannot be 0: .*greater than or equal to 1"),
        ({"rank": "many"}, "lora.rank cannot be 'many'"),
        ({"alpha": float("nan")}, "lora.alpha cannot be nan"),
    ],
)
def test_an_option_that_cannot_be_is_refused(given: dict[str, object], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        LORA.make(given)
