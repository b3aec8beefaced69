"""What dropout leaves out, and that it follows from seed, step, pass and layer alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rung.methods.dropout import Dropout

DROPOUT = Dropout(share=0.25, seed=1, on=True, step=3, number=2)
X = torch.ones(200, 50)


def test_a_share_is_left_out_and_the_mean_stays() -> None:
    factors = DROPOUT.factors(X, "q_proj")
    assert factors is not None
    assert factors.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert float((factors == 0).float().mean()) == pytest.approx(0.25, abs=0.02)


def test_the_same_again_whatever_was_drawn_in_between() -> None:
    first = DROPOUT.factors(X, "q_proj")
    torch.rand(3)
    DROPOUT.factors(X, "k_proj")
    again = replace(DROPOUT).factors(X, "q_proj")
    assert first is not None
    assert again is not None
    assert torch.equal(first, again)


@pytest.mark.parametrize("other", [{"seed": 2}, {"step": 4}, {"number": 3}])
def test_another_seed_step_or_pass_leaves_out_others(other: dict[str, int]) -> None:
    first, second = DROPOUT.factors(X, "q_proj"), replace(DROPOUT, **other).factors(X, "q_proj")
    assert first is not None
    assert second is not None
    assert not torch.equal(first, second)


def test_another_layer_leaves_out_others_and_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    first, second = (DROPOUT.factors(X, name) for name in ("q_proj", "k_proj"))
    assert first is not None
    assert second is not None
    assert not torch.equal(first, second)
    assert torch.equal(torch.rand(1), wanted)


def test_it_is_off_at_first() -> None:
    assert Dropout(0.5, 0).factors(X, "q_proj") is None
