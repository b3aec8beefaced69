"""The schedule, the mean over a step, clipping, and the check before a bad step."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from rung.errors import UsageError
from rung.train import optim


def some_parameters(*values: float) -> list[nn.Parameter]:
    return [nn.Parameter(torch.full((3,), value)) for value in values]


def set_gradients(parameters: list[nn.Parameter], *values: float) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.grad = torch.full((3,), value)


def test_adamw_takes_the_textbook_step() -> None:
    """m = 0.1 g, v = 0.001 g^2, both corrected to g and g^2: the first step is the learning rate."""
    parameters = some_parameters(2.0)
    optimizer = optim.adamw({1.0: parameters[0]}, weight_decay=0.1)
    optim.set_learning_rate(optimizer, 0.01)
    set_gradients(parameters, 0.5)
    optimizer.step()
    wanted = 2.0 * (1 - 0.01 * 0.1) - 0.01
    assert torch.allclose(parameters[0], torch.full((3,), wanted), atol=1e-6)


def test_every_vector_gets_its_share_of_the_learning_rate() -> None:
    slow, fast = some_parameters(2.0, 2.0)
    optimizer = optim.adamw({1.0: slow, 16.0: fast}, weight_decay=0.0)
    optim.set_learning_rate(optimizer, 0.01)
    set_gradients([slow, fast], 0.5, 0.5)
    optimizer.step()
    assert torch.allclose(slow, torch.full((3,), 1.99), atol=1e-6)
    assert torch.allclose(fast, torch.full((3,), 1.84), atol=1e-6)


def test_flattened_parameters_are_views_and_so_are_their_gradients() -> None:
    parameters = [nn.Parameter(torch.full(shape, value)) for shape, value in (((2, 3), 1.0), ((4,), 2.0))]
    other = nn.Parameter(torch.ones(2))
    vectors = optim.flatten([parameters[0], other, parameters[1]], [1.0, 4.0, 1.0])
    assert {rate: len(vector) for rate, vector in vectors.items()} == {1.0: 10, 4.0: 2}
    assert vectors[1.0].tolist() == [1.0] * 6 + [2.0] * 4
    for _ in range(2):
        (3 * parameters[0].sum() + 5 * parameters[1].sum()).backward()
    assert vectors[1.0].grad is not None
    assert vectors[1.0].grad.tolist() == [6.0] * 6 + [10.0] * 4
    with torch.no_grad():
        vectors[1.0].mul_(2)
    assert parameters[1].tolist() == [4.0] * 4


def test_without_a_learning_rate_nothing_moves() -> None:
    parameters = some_parameters(2.0)
    optimizer = optim.adamw({1.0: parameters[0]}, weight_decay=0.1)
    set_gradients(parameters, 0.5)
    optimizer.step()
    assert torch.equal(parameters[0], torch.full((3,), 2.0))


def test_the_rate_rises_to_the_peak_then_falls_to_a_tenth() -> None:
    rates = [optim.learning_rate(step, 100, 1e-3, 0.1) for step in range(100)]
    assert rates[0] == pytest.approx(1e-3 / 11)
    assert rates[:11] == sorted(rates[:11])
    assert rates[10] == max(rates) == 1e-3
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(1e-4, rel=0.01)
    assert rates[55] == pytest.approx(1e-3 * (0.1 + 0.45), rel=1e-6)  # half way down
    assert min(rates[10:]) > 1e-4


@pytest.mark.parametrize("warmup", [0.0, 0.06, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_short_runs_have_usable_rates(steps: int, warmup: float) -> None:
    for step in range(steps):
        rate = optim.learning_rate(step, steps, 1e-3, warmup)
        assert 0 < rate <= 1e-3


def test_gradients_become_means_over_the_targets() -> None:
    parameters = some_parameters(1.0, 1.0)
    set_gradients(parameters, 8.0, 2.0)
    parameters.append(nn.Parameter(torch.ones(2)))  # one without a gradient
    optim.scale_gradients(parameters, 4)
    assert [float(p.grad[0]) for p in parameters[:2] if p.grad is not None] == [2.0, 0.5]
    assert parameters[2].grad is None


def test_clipping_is_by_the_norm_over_all_and_tells_the_norm_before() -> None:
    parameters = some_parameters(0.0, 0.0)
    set_gradients(parameters, 3.0, 4.0)
    norm = optim.clip(parameters, 1.0)
    assert norm == pytest.approx(math.sqrt(75))
    flat = torch.cat([p.grad for p in parameters if p.grad is not None])
    assert float(flat.norm()) == pytest.approx(1.0, rel=1e-5)
    assert float(flat[0] / flat[-1]) == pytest.approx(0.75)


def test_small_gradients_are_left_as_they_are() -> None:
    parameters = some_parameters(0.0)
    set_gradients(parameters, 0.1)
    optim.clip(parameters, 1.0)
    assert parameters[0].grad is not None
    assert torch.equal(parameters[0].grad, torch.full((3,), 0.1))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_named_with_its_step_and_a_way_out(bad: float) -> None:
    good = some_parameters(1.0)
    optim.require_finite(1.0, 2.0, good, 7)
    with pytest.raises(
        UsageError, match=r"the loss stopped being finite at step 7.*not taken.*learning-rate"
    ):
        optim.require_finite(bad, 1.0, good, 7)
    with pytest.raises(UsageError, match="the gradient norm stopped"):
        optim.require_finite(1.0, bad, good, 7)
    with pytest.raises(UsageError, match="the loss and the gradient norm stopped"):
        optim.require_finite(bad, bad, good, 7)
    with pytest.raises(UsageError, match="the parameters stopped"):
        optim.require_finite(1.0, 1.0, [*good, *some_parameters(bad)], 7)


def test_large_but_finite_parameters_pass() -> None:
    """A norm that overflows would look like a parameter that is not finite."""
    optim.require_finite(1.0, 1.0, some_parameters(1e30), 1)


def test_a_dev_loss_that_is_not_finite_is_refused() -> None:
    optim.require_finite_dev(1.0, 3)
    with pytest.raises(UsageError, match=r"the loss on dev is not finite after step 3\. Lower"):
        optim.require_finite_dev(math.nan, 3)
