"""A shared beginning must change nothing but the time: losses and gradients equal the unshared ones."""

from __future__ import annotations

import random

import pytest
import torch

from rung.bases import shared
from rung.bases.attention import Packed, positions
from rung.methods import METHODS, MethodSettings
from rung.records import Rendered
from rung.train.loss import hidden_states, pack_loss, shared_prefix
from tiny_model import tiny_model


def rows_with_prefix(prefix: int, tails: list[int], seed: int = 0) -> list[Rendered]:
    rng = random.Random(seed)
    start = [rng.randrange(99) for _ in range(prefix)]
    rows = []
    for index, n in enumerate(tails):
        ids = (*start, index, *(rng.randrange(99) for _ in range(n - 1)))
        first = prefix + rng.randrange(1, n)
        rows.append(Rendered(str(index), ids, tuple(i >= first for i in range(len(ids)))))
    return rows


def test_what_is_shared_stops_before_the_first_target() -> None:
    assert shared.shared_length([[1] * 20, [1] * 12 + [2]], 99) == 12
    assert shared.shared_length([[1] * 20, [1] * 12 + [2]], 10) == 10
    assert shared.shared_length([[1] * 20, [1] * 5 + [2]], 99) == 0  # too short to pay
    assert shared.shared_length([[1] * 20], 99) == 0
    rows = rows_with_prefix(12, [4, 6])
    assert shared_prefix(tiny_model(), rows) == 12


def test_tails_go_on_where_the_prefix_ends() -> None:
    assert shared.positions(3, [2, 1]).tolist() == [[0, 1, 2, 3, 4, 3]]


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("seed", range(3))
def test_loss_and_gradients_equal_the_unshared_ones(method: str, seed: int) -> None:
    """To 1e-5: the model's norms compute in fp32 whatever its type, and sum in another order."""
    rng = random.Random(seed)
    tails = [rng.randrange(2, 20) for _ in range(rng.randrange(2, 6))]
    rows = rows_with_prefix(rng.randrange(8, 30), tails, seed)
    model = tiny_model().double()
    attached = METHODS[method].attach(model, MethodSettings(rank=3))
    for parameter in attached.parameters():
        if parameter.abs().sum() == 0:
            torch.nn.init.normal_(parameter, std=0.1)
    assert shared_prefix(model, rows) >= 8
    together = pack_loss(model, rows)
    together.backward()
    gradients = [p.grad.clone() for p in attached.parameters()]
    for parameter in attached.parameters():
        parameter.grad = None
    alone = sum((pack_loss(model, [row]) for row in rows), torch.zeros(()))
    alone.backward()
    torch.testing.assert_close(together, alone, rtol=1e-7, atol=0)
    for ours, parameter in zip(gradients, attached.parameters(), strict=True):
        scale = float(parameter.grad.abs().max())
        torch.testing.assert_close(ours, parameter.grad, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("seed", range(5))
def test_attention_and_its_gradients_equal_the_unshared_ones_in_fp64(seed: int) -> None:
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    p, tails = rng.randrange(8, 40), [rng.randrange(1, 30) for _ in range(rng.randrange(1, 7))]
    total = p + sum(tails)
    q, k, v = (
        torch.randn(1, h, total, 16, generator=generator, dtype=torch.float64).requires_grad_()
        for h in (6, 2, 2)
    )
    weight = torch.randn(1, 6, total, 16, generator=generator, dtype=torch.float64)
    out = shared.Shared(p, tails).attend(0, q, k, v, 0.3, None)
    ours = torch.autograd.grad((out * weight).sum(), (q, k, v))
    whole = []
    start = p
    for n in tails:
        parts = [torch.cat([t[:, :, :p], t[:, :, start : start + n]], 2) for t in (q, k, v)]
        whole.append(Packed([p + n]).attend(0, *parts, 0.3, None))
        start += n
    unshared = torch.cat([whole[0][:, :, :p], *(one[:, :, p:] for one in whole)], 2)
    theirs = torch.autograd.grad((unshared * weight).sum(), (q, k, v))
    torch.testing.assert_close(out, unshared, rtol=1e-10, atol=1e-10)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_the_masked_form_equals_the_flash_form() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, heads, 19, 8, generator=generator, dtype=torch.float64) for heads in (4, 2, 2))
    layout = shared.Shared(9, [4, 6])
    plain = layout._plain(q, k, v, 0.3)
    torch.testing.assert_close(layout.attend(0, q, k, v, 0.3, None), plain, rtol=1e-5, atol=1e-6)


def test_a_tail_does_not_see_the_others() -> None:
    model = tiny_model()
    rows = rows_with_prefix(10, [5, 7])
    together = hidden_states(model, rows, 10)
    alone = model.base_model(
        input_ids=torch.tensor([rows[1].ids]),
        position_ids=positions([17]),
        use_cache=False,
        layout=Packed([17]),
    ).last_hidden_state[0]
    torch.testing.assert_close(together[15:], alone[10:], rtol=1e-4, atol=1e-5)


def test_a_window_that_is_too_small_is_refused() -> None:
    q = torch.randn(1, 2, 12, 4)
    with pytest.raises(ValueError, match="window"):
        shared.Shared(8, [4]).attend(0, q, q, q, 1.0, window=10)
