"""The options of LoRA."""

from __future__ import annotations

import pytest

from rung.errors import UsageError
from rung.methods.lora import DORA, LORA, Lora
from rung.methods.lora_settings import LoraSettings, first_match
from tiny_model import tiny_model


@pytest.mark.parametrize(("rslora", "scale"), [(False, 0.5), (True, 2.0)])
def test_scale(rslora: bool, scale: float) -> None:
    lora = Lora(tiny_model(), LoraSettings(rank=16, alpha=8.0, rslora=rslora))
    assert {layer.scale for layer in lora.changes.values()} == {scale}


def test_ranks_and_alphas_of_layers_by_name() -> None:
    s = LORA.make({"rank": "4", "ranks": "q_proj=2, layers.1.mlp.up_proj=8", "alphas": {"up_proj": 3}})
    ranks = {"a.layers.0.q_proj": 2, "a.layers.1.mlp.up_proj": 8, "a.layers.0.mlp.up_proj": 4}
    assert {name: s.rank_of(name) for name in ranks} == ranks
    assert s.scale_of("a.layers.1.mlp.up_proj") == 3 / 8
    assert s.scale_of("a.layers.0.q_proj") == 32 / 2
    assert s.scale == 32 / 4


def test_the_first_name_that_fits_counts() -> None:
    assert first_match({"q": 1, "0.q": 2}, "a.0.q", 3) == 1
    assert first_match({"0.q": 2, "q": 1}, "a.0.q", 3) == 2
    assert first_match({"q": 1}, "a.0.xq", 3) == 3


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"ranks": "q_proj"}, "write names of layers and numbers"),
        ({"ranks": "q_proj=0"}, "greater than or equal to 1"),
        ({"ranks": {"q_proj": 10_000}}, "less than or equal to 4096"),
        ({"dropout": 1}, "less than 1"),
        ({"start": "svd"}, "'default', 'pissa' or 'eva'"),
    ],
)
def test_a_value_that_cannot_be_is_refused(given: dict[str, object], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        LORA.make(given)


def test_twice_the_rank_must_fit_into_the_file_of_pissa() -> None:
    LORA.make({"start": "pissa", "rank": 2048})
    with pytest.raises(UsageError, match="at most 4096"):
        LORA.make({"start": "pissa", "ranks": {"q_proj": 2049}})


def test_dora_is_dora() -> None:
    assert DORA.make({}).dora
    with pytest.raises(UsageError, match="dora has no option 'dora'"):
        DORA.make({"dora": False})
