"""Sampling: greedy at 0, the nucleus is respected, frequencies follow the softmax, seeds repeat."""

import pytest
import torch

from rung.errors import UsageError
from rung.generate.sample import Sampler

LOGITS = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().expand(4000, -1)


def test_temperature_zero_is_greedy() -> None:
    logits = torch.randn(5, 30)
    assert torch.equal(Sampler(temperature=0.0)(logits), logits.argmax(-1))


def test_frequencies_follow_the_softmax() -> None:
    shares = Sampler(seed=1)(LOGITS).bincount(minlength=4) / len(LOGITS)
    assert torch.allclose(shares, torch.tensor([0.5, 0.3, 0.15, 0.05]), atol=0.03)


def test_temperature_sharpens() -> None:
    shares = Sampler(temperature=0.5, seed=1)(LOGITS).bincount(minlength=4) / len(LOGITS)
    assert torch.allclose(shares, torch.tensor([0.6849, 0.2466, 0.0616, 0.0068]), atol=0.03)


def test_a_tiny_temperature_does_not_overflow() -> None:
    assert Sampler(temperature=1e-30)(torch.tensor([[100.0, 300.0, 200.0]])).tolist() == [1]


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.4, {0}), (0.7, {0, 1}), (0.9, {0, 1, 2}), (1.0, {0, 1, 2, 3})]
)
def test_the_nucleus_is_the_fewest_tokens_that_reach_top_p(top_p: float, kept: set[int]) -> None:
    assert set(Sampler(top_p=top_p, seed=2)(LOGITS).tolist()) == kept


def test_a_seed_repeats_and_another_differs() -> None:
    first, again, other = (Sampler(seed=seed)(LOGITS) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    "settings", [{"temperature": -1.0}, {"temperature": float("nan")}, {"top_p": 0.0}, {"top_p": 1.5}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Sampler(**settings)
