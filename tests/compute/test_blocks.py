"""Attention by blocks equals softmax attention with the mask that the tree of nodes says, to rounding."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from rung.compute import batches, blocks
from rung.compute.blocks import Blocks

HEADS, KV_HEADS, SIZE = 6, 2, 16
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


def draw(length: int, dtype: torch.dtype, device: str, seed: int) -> list[Tensor]:
    """q, k, v and a gradient of the output."""
    generator = torch.Generator().manual_seed(seed)
    counts = (HEADS, KV_HEADS, KV_HEADS, HEADS)
    return [torch.randn(1, n, length, SIZE, generator=generator, dtype=dtype).to(device) for n in counts]


def random_nodes(rng: random.Random) -> tuple[list[int], list[int]]:
    count = rng.randrange(1, 12)
    lengths = [rng.choice([1, 2, 5, 17, 30, 60]) for _ in range(count)]
    return lengths, [rng.randrange(-1, i) for i in range(count)]


def by_the_mask(
    qkv: list[Tensor], lengths: list[int], parents: list[int], scale: float, past: int = 0
) -> Tensor:
    """The textbook: one dense mask. The first `past` keys stand before everything."""
    q, k, v = qkv
    node = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    above = torch.eye(len(lengths), dtype=torch.bool)
    for i, parent in enumerate(parents):
        if parent >= 0:
            above[i] |= above[parent]
    token = torch.arange(len(node))
    seen = above[node][:, node] & (token[None] <= token[:, None])
    seen = torch.cat([torch.ones(len(node), past, dtype=torch.bool), seen], 1).to(q.device)
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    scores = (q @ k.mT * scale).masked_fill(~seen, float("-inf"))
    return scores.softmax(-1) @ v


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("copies", "chunk"),
    [(2, 1 << 22), (2, 500), (0, 1 << 22), (10**6, 1 << 22)],
    ids=["copied or shared", "in small parts", "all shared", "all copied"],
)
@pytest.mark.parametrize("seed", range(12))
def test_output_and_gradients_equal_the_textbook_in_fp64(
    seed: int, copies: int, chunk: int, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_COPIES", copies)
    for module in (batches, blocks):
        monkeypatch.setattr(module, "SCORES", chunk)
    lengths, parents = random_nodes(random.Random(seed))
    *qkv, grad = draw(sum(lengths), torch.float64, device, seed)
    qkv = [x.requires_grad_() for x in qkv]
    ours, wanted = Blocks(lengths, parents).attend(*qkv, 0.3), by_the_mask(qkv, lengths, parents, 0.3)
    torch.testing.assert_close(ours, wanted, rtol=1e-10, atol=1e-10)
    pairs = zip(torch.autograd.grad(ours, qkv, grad), torch.autograd.grad(wanted, qkv, grad), strict=True)
    for mine, other in pairs:
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("seed", range(4))
def test_lower_precisions_stay_near(dtype: torch.dtype, most: float, seed: int, device: str) -> None:
    """Scores up to about 40, as in real models."""
    lengths, parents = random_nodes(random.Random(100 + seed))
    exact = [3 * x for x in draw(sum(lengths), torch.float64, device, seed)]
    low = [x.to(dtype).requires_grad_() for x in exact]
    wide = [x.detach().double().requires_grad_() for x in low]
    ours = Blocks(lengths, parents).attend(*low[:3], 0.25)
    wanted = by_the_mask(wide[:3], lengths, parents, 0.25)
    mine = [ours, *torch.autograd.grad(ours, low[:3], low[3].detach())]
    other = [wanted, *torch.autograd.grad(wanted, wide[:3], wide[3].detach())]
    for a, b in zip(mine, other, strict=True):
        assert float((a.double() - b).detach().norm()) <= most * float(b.detach().norm()) + 1e-12


@pytest.mark.parametrize("seed", range(4))
def test_cached_keys_come_before_every_node(seed: int) -> None:
    lengths, parents = random_nodes(random.Random(seed))
    past = 9
    *qkv, grad = draw(sum(lengths), torch.float64, "cpu", seed)
    qkv = [x.requires_grad_() for x in qkv]
    _, keys, values, _ = draw(past, torch.float64, "cpu", seed + 50)
    ours = Blocks(lengths, parents).attend(*qkv, 0.3, (keys, values))
    whole = [qkv[0], torch.cat([keys, qkv[1]], 2), torch.cat([values, qkv[2]], 2)]
    wanted = by_the_mask(whole, lengths, parents, 0.3, past)
    torch.testing.assert_close(ours, wanted, rtol=1e-10, atol=1e-10)
    pairs = zip(torch.autograd.grad(ours, qkv, grad), torch.autograd.grad(wanted, qkv, grad), strict=True)
    for mine, other in pairs:
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


def test_the_output_lies_token_by_token() -> None:
    """So that transformers can join the heads without a copy."""
    q, k, v, _ = draw(7, torch.float32, "cpu", 0)
    assert Blocks([3, 4], [-1, 0]).attend(q, k, v, 1.0).transpose(1, 2).is_contiguous()
