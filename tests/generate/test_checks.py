"""What is checked before and while prompts are read."""

from __future__ import annotations

import pytest
import torch

from rung.compute.load import tiny
from rung.errors import BaseModelError, DataError
from rung.generate import checks


def test_a_token_has_keys_and_values_in_all_layers() -> None:
    assert checks.cache_bytes(tiny()) == 2 * 2 * 2 * 8 * 4


def test_the_prompt_that_does_not_fit_is_named() -> None:
    checks.check_prompts([[1], [1, 2, 3]], 4, room=1)
    with pytest.raises(DataError, match="prompt 2 of 2: the prompt has 3 tokens and needs room for 2 more"):
        checks.check_prompts([[1], [1, 2, 3]], 4, room=2)
    with pytest.raises(DataError, match="reads 3 tokens at most"):
        checks.check_prompts([[1], [1, 2, 3]], [2, 3], room=1)
    with pytest.raises(DataError, match="prompt 1 of 1: the prompt is empty"):
        checks.check_prompts([[]], 4, room=1)


def test_numbers_that_are_not_finite_stop_it() -> None:
    checks.check_finite(tiny(), torch.ones(2))
    with pytest.raises(BaseModelError, match="not finite"):
        checks.check_finite(tiny(), torch.tensor([1.0, float("inf")]))


def test_the_model_is_in_evaluation_for_as_long_as_it_lasts() -> None:
    model = torch.nn.Dropout()
    with checks.evaluating(model):
        assert not model.training
    assert model.training
