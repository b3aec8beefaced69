"""Packs whose segments begin alike: the common beginning is computed once, forward and backward, exactly.

One row holds ``[prefix][tail 1][tail 2]...``. The prefix attends to itself; a tail attends to the prefix and
to itself, in two calls joined by their log-sum-exp (see `rung.bases.attention`). The backward pass of a flash
attention needs only its output and log-sum-exp, so giving each call the joined ones yields exact gradients;
the prefix's keys and values gather those of all tails.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from rung.bases import attention
from rung.bases.attention import causal_mask, flash, merge, reference

_SHORTEST = 8  # a shorter common beginning is not worth the second call


def common_length(rows: Sequence[Sequence[int]]) -> int:
    """Tokens that all `rows` begin with."""
    first, last = min(map(tuple, rows)), max(map(tuple, rows))  # in this order these two differ the earliest
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))


def shared_length(rows: Sequence[Sequence[int]], limit: int, shortest: int = _SHORTEST) -> int:
    """Tokens that all `rows` begin with, at most `limit`; 0 where fewer than `shortest`, or one row alone."""
    if len(rows) < 2:
        return 0
    length = min(common_length(rows), limit)
    return length if length >= shortest else 0


def positions(prefix: int, tails: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """Position ids (1, T): every tail goes on where the prefix ends."""
    return torch.cat(
        [attention.positions([prefix], device=device), attention.positions(tails, prefix, device)], 1
    )


class Shared:
    """Layout of a pass over one prefix and its tails; see `rung.bases.attention.Layout`."""

    def __init__(self, prefix: int, tails: Sequence[int]) -> None:
        self.prefix = prefix
        self.tails = list(tails)

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None) -> Tensor:
        if window is not None and self.prefix + max(self.tails) > window:
            raise ValueError("a shared prefix with tails must fit into the attention's window")
        if q.device.type == "cpu":
            out: Tensor = _SharedAttention.apply(q, k, v, self.prefix, self.tails, scale)  # type: ignore[no-untyped-call]
            return out
        return self._plain(q, k, v, scale)

    def _plain(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """The same with one mask, for devices without the flash call."""
        sizes = [self.prefix, *self.tails]
        owner = torch.repeat_interleave(
            torch.arange(len(sizes), device=q.device), torch.tensor(sizes, device=q.device)
        )
        same = owner[:, None] == owner[None]
        seen = causal_mask(q.shape[2], 0, None, q.device) & (same | (owner == 0)[None])
        mask = torch.zeros(seen.shape, device=q.device).masked_fill(~seen, float("-inf"))
        return reference(q, k, v, scale, mask=mask)[0]


class _SharedAttention(Function):
    """The formula at the top of the file, on the CPU."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, prefix: int, tails: list[int], scale: float
    ) -> Tensor:
        sizes = [prefix, *tails]
        segments = list(zip(*(torch.split(t, sizes, 2) for t in (q, k, v)), strict=True))
        parts = [flash(a, b, c, scale, causal=True) for a, b, c in segments]
        out_own = torch.cat([out for out, _ in parts[1:]], 2)
        lse_own = torch.cat([lse for _, lse in parts[1:]], 2)
        far = flash(q[:, :, prefix:], k[:, :, :prefix], v[:, :, :prefix], scale)
        out_tails, lse_tails = merge(far, (out_own, lse_own))
        out, lse = torch.cat([parts[0][0], out_tails], 2), torch.cat([parts[0][1], lse_tails], 2)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.prefix, ctx.sizes, ctx.scale = prefix, sizes, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        q, k, v, out, lse = ctx.saved_tensors
        p, sizes, scale = ctx.prefix, ctx.sizes, ctx.scale
        grad = grads[0].contiguous()
        split = [torch.split(t, sizes, 2) for t in (grad, q, k, v, out, lse)]
        own = [_backward(*segment, causal=True, scale=scale) for segment in zip(*split, strict=True)]
        dq, dk, dv = (torch.cat([part[i] for part in own], 2) for i in range(3))
        after = (
            [t[:, :, p:] for t in (grad, q)]
            + [t[:, :, :p] for t in (k, v)]
            + [t[:, :, p:] for t in (out, lse)]
        )
        far_q, far_k, far_v = _backward(*after, causal=False, scale=scale)
        dq[:, :, p:] += far_q
        dk[:, :, :p] += far_k
        dv[:, :, :p] += far_v
        return dq, dk, dv, None, None, None


def _backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, *, causal: bool, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    result: tuple[Tensor, Tensor, Tensor] = (
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            grad, q, k, v, out, lse.contiguous(), 0.0, causal, scale=scale
        )
    )
    return result
