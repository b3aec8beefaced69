"""Attention over packs equals plain attention over each segment: outputs, gradients, windows, prefixes."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from rung.compute.attention import (
    NAME,
    Packed,
    Prefix,
    attending,
    causal_mask,
    flash,
    merge,
    positions,
    reference,
)
from rung.compute.plain import own_states
from tiny_model import VOCABULARY, distance, gradients, tiny_model

LENGTHS = [5, 1, 12, 7]
WINDOWS = [None, 4, 11, 12, 64]  # the longest segment has 12 positions


def tokens(length: int, seed: int = 0) -> Tensor:
    return torch.randint(3, VOCABULARY, (1, length), generator=torch.Generator().manual_seed(seed))


def heads(length: int, count: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(1, count, length, 8, generator=draw, dtype=dtype)


def packed_states(model: PreTrainedModel, ids: Tensor, layout: Packed, start: int = 0) -> Tensor:
    with attending(layout):
        return own_states(model, ids, position_ids=positions(layout.lengths, start))


def plain_states(model: PreTrainedModel, ids: Tensor) -> Tensor:
    hidden: Tensor = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    return hidden


@pytest.mark.parametrize("window", WINDOWS)
def test_packed_states_equal_those_of_each_segment_alone(window: int | None) -> None:
    ours = tiny_model(dtype=torch.float64, window=window)
    theirs = tiny_model(dtype=torch.float64, window=window, attention="sdpa")
    ids = tokens(sum(LENGTHS))
    packed = packed_states(ours, ids, Packed(LENGTHS))
    alone = torch.cat([plain_states(theirs, part) for part in torch.split(ids, LENGTHS, 1)], 1)
    assert distance(packed, alone) < 1e-12


@pytest.mark.parametrize("window", WINDOWS)
def test_packed_gradients_equal_those_of_each_segment_alone(window: int | None) -> None:
    ours = tiny_model(dtype=torch.float64, window=window).requires_grad_(True)
    theirs = tiny_model(dtype=torch.float64, window=window, attention="sdpa").requires_grad_(True)
    ids = tokens(sum(LENGTHS))
    cotangent = torch.randn(
        1, sum(LENGTHS), 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    packed_states(ours, ids, Packed(LENGTHS)).backward(cotangent)  # type: ignore[no-untyped-call]
    for part, grad in zip(torch.split(ids, LENGTHS, 1), torch.split(cotangent, LENGTHS, 1), strict=True):
        plain_states(theirs, part).backward(grad)  # type: ignore[no-untyped-call]
    for mine, other in zip(
        gradients(list(ours.parameters())), gradients(list(theirs.parameters())), strict=True
    ):
        assert distance(mine, other) < 1e-10


def test_the_window_matters() -> None:
    """Otherwise the tests with windows would prove nothing."""
    ids = tokens(12)
    narrow, wide = (plain_states(tiny_model(window=w, attention="sdpa"), ids) for w in (4, 64))
    assert distance(narrow, wide) > 0.01


def test_segments_do_not_see_each_other() -> None:
    model = tiny_model()
    ids = tokens(sum(LENGTHS))
    other = ids.clone()
    other[0, :5] = tokens(5, seed=9)[0]
    first = packed_states(model, ids, Packed(LENGTHS))
    second = packed_states(model, other, Packed(LENGTHS))
    assert torch.equal(first[:, 5:], second[:, 5:])
    assert not torch.equal(first[:, :5], second[:, :5])


def test_without_a_layout_the_whole_row_is_one_segment() -> None:
    ids = tokens(12)
    batch = torch.cat([ids, tokens(12, seed=3)])
    ours, theirs = tiny_model(dtype=torch.float64), tiny_model(dtype=torch.float64, attention="sdpa")
    assert distance(plain_states(ours, batch), plain_states(theirs, batch)) < 1e-12


def read(model: PreTrainedModel, ids: Tensor) -> Prefix:
    layout = Packed([ids.shape[1]], keep=True)
    packed_states(model, ids, layout)
    return Prefix(layout.keys, layout.values)


@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no-grad"])
@pytest.mark.parametrize("window", [None, 4, 10, 20, 21, 64])
def test_a_shared_prefix_equals_reading_it_in_every_segment(window: int | None, grad: bool) -> None:
    ours, theirs = tiny_model(window=window), tiny_model(window=window, attention="sdpa")
    shared, tails = tokens(9, seed=2), tokens(sum(LENGTHS))
    with torch.no_grad():
        prefix = read(ours, shared)
    assert prefix.length == 9
    with torch.set_grad_enabled(grad):
        packed = packed_states(ours, tails, Packed(LENGTHS, prefix), start=9)
        alone = torch.cat(
            [
                plain_states(theirs, torch.cat([shared, part], 1))[:, 9:]
                for part in torch.split(tails, LENGTHS, 1)
            ],
            1,
        )
    assert distance(packed, alone) < 2e-6


def test_what_is_kept_is_what_a_later_pass_needs() -> None:
    """Reading in two pieces, the first kept, equals reading in one."""
    model = tiny_model()
    ids = tokens(20)
    with torch.no_grad():
        whole = packed_states(model, ids, Packed([20]))
        prefix = read(model, ids[:, :13])
        rest = packed_states(model, ids[:, 13:], Packed([7], prefix, keep=True), start=13)
    assert len(prefix.keys) == len(prefix.values) == 2
    assert prefix.keys[0].shape == (1, 2, 13, 8)
    assert distance(rest, whole[:, 13:]) < 2e-6


def test_positions_begin_anew_in_every_segment() -> None:
    assert positions([3, 1, 2], start=4).tolist() == [[4, 5, 6, 4, 4, 5]]


@pytest.mark.parametrize(("past", "window"), [(0, None), (3, None), (0, 2), (3, 4)])
def test_causal_mask_by_its_definition(past: int, window: int | None) -> None:
    mask = causal_mask(4, past, window, "cpu")
    for i in range(4):
        for j in range(past + 4):
            seen = j <= past + i and (window is None or past + i - j < window)
            assert bool(mask[i, j]) is seen


@pytest.mark.parametrize("masked", [True, False])
def test_the_fast_kernel_equals_the_formula(masked: bool) -> None:
    q, k, v = heads(6, 4, 1), heads(6, 2, 2), heads(6, 2, 3)
    mask = None
    if masked:
        mask = torch.zeros(1, 1, 6, 6)
        mask[..., 3:, 1] = -math.inf
    with torch.no_grad():
        fast = flash(q, k, v, 0.3, mask)
    slow = reference(q, k, v, 0.3, mask)
    assert distance(fast[0], slow[0]) < 1e-6
    assert distance(fast[1], slow[1]) < 1e-6


def test_the_formula_is_softmax_attention() -> None:
    q, k, v = heads(5, 4, 1), heads(5, 2, 2), heads(5, 2, 3)
    out, lse = reference(q, k, v, 0.3)
    for head in range(4):
        scores = q[0, head] @ k[0, head // 2].T * 0.3
        assert torch.allclose(out[0, head], scores.softmax(-1) @ v[0, head // 2], atol=1e-6)
        assert torch.allclose(lse[0, head], scores.exp().sum(-1).log(), atol=1e-6)


@pytest.mark.parametrize("cut", [1, 4, 8])
def test_merged_parts_equal_the_whole(cut: int) -> None:
    q, k, v = heads(3, 4, 1), 5 * heads(9, 2, 2), heads(9, 2, 3)
    whole = reference(q, k, v, 1.0)
    first = reference(q, k[:, :, :cut], v[:, :, :cut], 1.0)
    second = reference(q, k[:, :, cut:], v[:, :, cut:], 1.0)
    for parts in ((first, second), (second, first)):
        out, lse = merge(*parts)
        assert distance(out, whole[0]) < 1e-6
        assert distance(lse, whole[1]) < 1e-6


def test_extreme_scores_stay_finite_when_merged() -> None:
    q, k, v = heads(2, 2, 1), heads(4, 2, 2), heads(4, 2, 3)
    first, second = reference(q, 100 * k, v, 10.0), reference(q, -100 * k, v, 10.0)
    out, lse = merge(first, second)
    assert torch.isfinite(out).all()
    assert torch.isfinite(lse).all()


@pytest.mark.parametrize("extra", ["softcap", "s_aux", "position_bias", "something_new"])
def test_an_argument_it_does_not_know_is_refused(extra: str) -> None:
    model = tiny_model()
    with pytest.raises(ValueError, match=f"{extra}.*does not compute"):
        model.base_model(input_ids=tokens(3), use_cache=False, **{extra: torch.ones(1)})


def called(**changes: Any) -> Tensor:
    """What transformers calls, on a layer of no model."""
    given: dict[str, Any] = {"query": heads(6, 4, 1), "key": heads(6, 2, 2), "value": heads(6, 2, 3)}
    given |= {"attention_mask": None} | changes
    out: Tensor = AttentionInterface()[NAME](nn.Module(), **given)[0]
    return out


def masked(**changes: Any) -> Any:
    return AttentionMaskInterface()[NAME](batch_size=1, q_length=6, kv_length=6, **changes)


def test_what_it_would_not_compute_as_the_model_does_is_refused() -> None:
    right = called(
        position_ids=torch.arange(6), use_cache=False, scaling=8**-0.5, is_causal=True, dropout=0.0
    )
    assert torch.equal(right, called())
    wrong: dict[str, dict[str, Any]] = {
        "a mask of its own": {"attention_mask": torch.ones(1, 1, 6, 6)},
        "the mask's window is None and that of the attention 4": {"sliding_window": 4},
        "the mask's window is 4 and that of the attention None": {"attention_mask": masked(local_size=4)},
        "the mask's window is 4 and that of the attention 3": {
            "attention_mask": masked(local_size=4),
            "sliding_window": 3,
        },
        "drops weights out": {"dropout": 0.1},
        "looks at later tokens": {"is_causal": False},
        "reads a cache": {"query": heads(1, 4, 1)},
        "not as wide as its keys": {"value": heads(6, 2, 3)[..., :4]},
    }
    for words, changes in wrong.items():
        with pytest.raises(ValueError, match=words):
            called(**changes)
    assert called(attention_mask=masked(local_size=4), sliding_window=4).shape == (1, 6, 4, 8)


def test_padding_is_refused() -> None:
    assert masked(attention_mask=torch.ones(1, 6)) is None
    with pytest.raises(ValueError, match="takes no padding"):
        masked(attention_mask=torch.tensor([[0, 1, 1, 1, 1, 1]]))


def test_a_lost_layout_is_noticed() -> None:
    model = tiny_model(attention="eager")  # its layers never ask
    with (
        pytest.raises(ValueError, match="no layer of the model asked for the layout"),
        attending(Packed([3])),
    ):
        own_states(model, tokens(3))
    with (
        pytest.raises(ZeroDivisionError),
        attending(Packed([3])),
    ):  # the first error stays the one that is seen
        raise ZeroDivisionError
    assert torch.equal(plain_states(tiny_model(), tokens(3)), plain_states(tiny_model(), tokens(3)))


def test_a_layout_is_that_of_the_innermost_pass() -> None:
    model, ids = tiny_model(), tokens(12)
    apart = packed_states(model, ids, Packed([5, 7]))
    with attending(Packed([12])):
        whole = own_states(model, ids)
        assert torch.equal(packed_states(model, ids, Packed([5, 7])), apart)
        assert torch.equal(own_states(model, ids), whole)
    assert distance(whole, apart) > 0.01


def test_steps_of_a_pack_keep_their_order() -> None:
    """Swapping segments swaps their states and nothing else."""
    model = tiny_model()
    ids = tokens(12)
    first = packed_states(model, ids, Packed([5, 7]))
    swapped = packed_states(model, torch.cat([ids[:, 5:], ids[:, :5]], 1), Packed([7, 5]))
    bounds = [0, 7, 12]
    late, early = (swapped[:, a:b] for a, b in pairwise(bounds))
    assert distance(torch.cat([early, late], 1), first) < 1e-6
