"""What trained tokens begin as, and what prompt and prefix refuse to read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rung.errors import UsageError
from rung.methods.adapter import Unreadable
from rung.methods.beginning import BeginningFormat, BeginningSettings, start_ids


def of(vocabulary: int) -> Any:
    """A model with so many tokens."""
    words = torch.nn.Embedding(vocabulary, 1)
    return SimpleNamespace(get_input_embeddings=lambda: words)


def test_ids_of_a_text_are_repeated_or_cut() -> None:
    settings = BeginningSettings(length=5, start_ids=(7, 8))
    assert start_ids(settings, of(99), seed=0) == [7, 8, 7, 8, 7]
    assert start_ids(BeginningSettings(length=1, start_ids=(7, 8)), of(99), seed=0) == [7]


def test_without_a_text_they_are_drawn_from_the_common_ids() -> None:
    settings = BeginningSettings(length=400)
    found = start_ids(settings, of(50_000), seed=1)
    assert found == start_ids(settings, of(50_000), seed=1)
    assert found != start_ids(settings, of(50_000), seed=2)
    assert 4000 < max(found) < 5000
    assert max(start_ids(settings, of(9), seed=1)) == 8


def test_a_text_is_turned_into_ids_once() -> None:
    asked = BeginningSettings(text="is it good").encoded(lambda text: [len(word) for word in text.split()])
    assert asked.start_ids == (2, 2, 4)
    assert asked.encoded(lambda _: [1]) is asked
    plain = BeginningSettings()
    assert plain.encoded(lambda _: [1]) is plain


def test_what_no_token_can_begin_from_is_refused() -> None:
    with pytest.raises(UsageError, match="has no tokens"):
        start_ids(BeginningSettings(text="hello"), of(99), seed=0)
    with pytest.raises(UsageError, match="outside of the base's vocabulary of 99"):
        start_ids(BeginningSettings(start_ids=(99,)), of(99), seed=0)


FINE = {"num_virtual_tokens": 3, "num_transformer_submodules": 1, "token_dim": 32}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"num_virtual_tokens": 0}, "num_virtual_tokens cannot be 0"),
        ({"num_virtual_tokens": True}, "num_virtual_tokens cannot be True"),
        ({"num_virtual_tokens": 10**9}, "num_virtual_tokens cannot be 1000000000"),
        ({"num_transformer_submodules": 2}, "num_transformer_submodules is 2"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save is set"),
    ],
)
def test_a_configuration_that_rung_would_compute_otherwise_is_refused(
    change: dict[str, object], why: str
) -> None:
    form = BeginningFormat()
    assert form.settings(FINE).length == 3
    with pytest.raises(Unreadable, match=why):
        form.settings(FINE | change)


def test_other_tensors_are_refused() -> None:
    with pytest.raises(Unreadable, match="'prompt_embeddings' alone"):
        BeginningFormat().from_file({}, None)
