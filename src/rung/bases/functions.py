"""Parts of a Llama-like decoder layer with hand-written gradients that keep little and copy less.

A layer is       h1 = h + O attend(rope(Q n, K n), V n),  n  = norm(h)
                 h2 = h1 + D (silu(G m) * U m),           m  = norm(h1)
    norm(h)    = w * h / sqrt(mean(h^2) + eps)                     (RMSNorm, arXiv 1910.07467)
    d norm     : dh = (w dn - h * mean(w dn * h) / rms^2) / rms,   rms = sqrt(mean(h^2) + eps)
    rope(x)    = (x1 cos - x2 sin, x2 cos + x1 sin)                (arXiv 2104.09864, halves)
    d silu(e)  = sigmoid(e) (1 + e (1 - sigmoid(e)))

Kept for the backward pass, per token: h, q, k, v, the attention's output, h1, and the products of gate and
up; norms and silu(gate) * up are computed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import silu

from rung import threads
from rung.bases.projection import Projection


class Heads(Function):
    """h (N, d) -> q (N, heads, D), k and v (N, kv_heads, D); queries and keys are rotated."""

    @staticmethod
    def forward(
        ctx: Any,
        h: Tensor,
        weight: Tensor,
        eps: float,
        qkv: Projection,
        size: int,
        cos: Tensor,
        sin: Tensor,
        *leaves: Tensor,
    ) -> tuple[Tensor, ...]:
        n, rms = _norm(h, weight, eps)
        q, k, v = (columns // size for columns in qkv.sizes)
        heads = qkv.forward(n).view(len(h), -1, size)  # (N, heads + 2 * kv_heads, D)
        turned = _rotate(heads[:, : q + k], cos, sin)  # (N, heads + kv_heads, D)
        ctx.save_for_backward(h, rms, weight, cos, sin)
        ctx.qkv = qkv
        return turned[:, :q], turned[:, q:], heads[:, -v:].contiguous()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        h, rms, weight, cos, sin = ctx.saved_tensors
        dq, dk, dv = grads
        dy = h.new_empty((len(h), sum(ctx.qkv.sizes)))  # (N, (heads + 2 * kv_heads) * D)
        # views of it: (N, heads, D), (N, kv_heads, D) twice
        into = [part.view(len(h), -1, dq.shape[2]) for part in torch.split(dy, ctx.qkv.sizes, 1)]
        _rotate(dq, cos, -sin, into[0])
        _rotate(dk, cos, -sin, into[1])
        into[2].copy_(dv)
        n = _normed(h, rms, weight)
        wants = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        dn, leaves = ctx.qkv.backward(n, dy, wants)
        dh, dweight = _norm_backward(dn, h, rms, weight, ctx.needs_input_grad[:2])
        return dh, dweight, None, None, None, None, None, *leaves


class Output(Function):
    """h + O x for h (N, d) and the attention's output x (N, heads * D)."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, x: Tensor, o: Projection, *leaves: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        ctx.o = o
        return o.forward(x).add_(h)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        dx, leaves = ctx.o.backward(x, grads[0], ctx.needs_input_grad[1])
        return grads[0], dx, None, *leaves


class Mlp(Function):
    """h + D (silu(G m) * U m), m = norm(h), for h (N, d)."""

    @staticmethod
    def forward(
        ctx: Any,
        h: Tensor,
        weight: Tensor,
        eps: float,
        gate_up: Projection,
        down: Projection,
        *leaves: Tensor,
    ) -> Tensor:
        threads.pace()
        m, rms = _norm(h, weight, eps)
        both = gate_up.forward(m)  # (N, 2 f)
        gate, up = both.chunk(2, 1)  # (N, f) each
        ctx.save_for_backward(h, rms, weight, both)
        ctx.gate_up, ctx.down = gate_up, down
        return down.forward(silu(gate).mul_(up)).add_(h)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        threads.pace()
        h, rms, weight, both = ctx.saved_tensors
        dy = grads[0]  # (N, d)
        gate, up = both.chunk(2, 1)  # (N, f) each
        act = silu(gate)
        dx, down_leaves = ctx.down.backward(act * up, dy, True)  # dx (N, f)
        dboth = torch.empty_like(both)  # (N, 2 f)
        dgate, dup = dboth.chunk(2, 1)
        torch.mul(dx, act, out=dup)
        torch.ops.aten.silu_backward.grad_input(dx.mul_(up), gate, grad_input=dgate)
        m = _normed(h, rms, weight)
        wants = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        dm, leaves = ctx.gate_up.backward(m, dboth, wants)
        dh, dweight = _norm_backward(dm, h, rms, weight, ctx.needs_input_grad[:2])
        if dh is not None:
            dh += dy
        return dh, dweight, None, None, None, *leaves, *down_leaves


class Norm(Function):
    """The norm after the last layer: h (N, d) -> (N, d)."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, eps: float) -> Tensor:
        n, rms = _norm(h, weight, eps)
        ctx.save_for_backward(h, rms, weight)
        return n

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        h, rms, weight = ctx.saved_tensors
        return *_norm_backward(grads[0], h, rms, weight, ctx.needs_input_grad[:2]), None


def _norm(h: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """norm(h), and 1 / rms (N, 1) in fp32 or wider."""
    wide = torch.promote_types(h.dtype, torch.float32)
    length = torch.linalg.vector_norm(h, dim=-1, keepdim=True, dtype=wide)  # (N, 1)
    rms = torch.rsqrt(length.square_() / h.shape[1] + eps)
    return _normed(h, rms, weight), rms


def _normed(h: Tensor, rms: Tensor, weight: Tensor) -> Tensor:
    return torch.mul(h, rms, out=torch.empty_like(h)).mul_(weight)


def _norm_backward(
    dn: Tensor | None, h: Tensor, rms: Tensor, weight: Tensor, needs: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of h and of the weight, each where it is needed."""
    if dn is None:
        return None, None
    dweight = (dn * _normed(h, rms, torch.ones_like(weight))).sum(0) if needs[1] else None  # (d,)
    if not needs[0]:
        return None, dweight
    dn = dn * weight
    dot = (dn * h).sum(-1, keepdim=True, dtype=rms.dtype)  # (N, 1)
    share = dot * rms.square() / -h.shape[1]
    dh = torch.addcmul(dn, h, share.to(h.dtype))
    return torch.mul(dh, rms, out=dh), dweight


def _rotate(x: Tensor, cos: Tensor, sin: Tensor, out: Tensor | None = None) -> Tensor:
    """x (N, heads, D) rotated by the angles of cos and sin (N, 1, D / 2)."""
    if out is None:
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    x1, x2 = x.chunk(2, -1)  # (N, heads, D / 2) each
    first, second = out.chunk(2, -1)
    torch.mul(x1, cos, out=first).addcmul_(x2, sin, value=-1)
    torch.mul(x2, cos, out=second).addcmul_(x1, sin)
    return out
