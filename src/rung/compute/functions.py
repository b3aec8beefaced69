"""Parts of a Llama-like decoder layer with hand-written gradients that keep little and copy less.

A layer is       h1 = h + O attend(rope(Q n, K n), V n),  n  = norm(h)
                 h2 = h1 + D (silu(G m) * U m),           m  = norm(h1)
    norm(h)    = w * h / sqrt(mean(h^2) + eps)                     (RMSNorm, arXiv 1910.07467)
    d norm     : dh = (w dn - h * mean(w dn * h) / rms^2) / rms,   rms = sqrt(mean(h^2) + eps)
    rope(x)    = (x1 cos - x2 sin, x2 cos + x1 sin)                (arXiv 2104.09864, halves)
    d silu(e)  = sigmoid(e) (1 + e (1 - sigmoid(e)))

Some layers also norm every head of the queries and keys before they are turned (`NormedHeads`), have gelu in
place of silu, or norm what is added to h (`Linear` and `Mlp` without the sum, then `Norm`).

Kept for the backward pass, per token: h, q, k, v, the attention's output, h1, and the products of gate and
up; norms and silu(gate) * up are computed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import gelu, silu

from rung import threads
from rung.compute.projection import Projection


@dataclass(frozen=True, slots=True)
class Shape:
    """How many heads of which size a product holds: queries, then keys, then as many values."""

    queries: int
    keys: int
    size: int

    @property
    def columns(self) -> list[int]:
        """Columns of queries, keys and values."""
        return [self.queries * self.size, self.keys * self.size, self.keys * self.size]


class Heads(Function):
    """h (N, d) -> q (N, heads, D), k and v (N, kv_heads, D); queries and keys are rotated."""

    @staticmethod
    def forward(
        ctx: Any,
        h: Tensor,
        weight: Tensor,
        eps: float,
        qkv: Projection,
        shape: Shape,
        cos: Tensor,
        sin: Tensor,
        *leaves: Tensor,
    ) -> tuple[Tensor, ...]:
        n, rms = _norm(h, weight, eps)
        q, k = shape.queries, shape.keys
        heads = qkv.forward(n).view(len(h), -1, shape.size)  # (N, heads + 2 * kv_heads, D)
        turned = _rotate(heads[:, : q + k], cos, sin)  # (N, heads + kv_heads, D)
        ctx.save_for_backward(h, rms, weight, cos, sin)
        ctx.qkv, ctx.shape = qkv, shape
        return turned[:, :q], turned[:, q:], heads[:, -k:].contiguous()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        h, rms, weight, cos, sin = ctx.saved_tensors
        dq, dk, dv = grads
        dy, into = _empty_heads(h, ctx.shape)
        _rotate(dq, cos, -sin, into[0])
        _rotate(dk, cos, -sin, into[1])
        into[2].copy_(dv)
        dh, dweight, leaves = _heads_backward(ctx, dy, h, rms, weight)
        return dh, dweight, None, None, None, None, None, *leaves


class NormedHeads(Function):
    """The same where every head of the queries and of the keys is normed before it is rotated."""

    @staticmethod
    def forward(
        ctx: Any,
        h: Tensor,
        weight: Tensor,
        q_weight: Tensor,
        k_weight: Tensor,
        eps: float,
        qkv: Projection,
        shape: Shape,
        cos: Tensor,
        sin: Tensor,
        *leaves: Tensor,
    ) -> tuple[Tensor, ...]:
        n, rms = _norm(h, weight, eps)
        heads = qkv.forward(n).view(len(h), -1, shape.size)  # (N, heads + 2 * kv_heads, D)
        q, k = heads[:, : shape.queries].contiguous(), heads[:, shape.queries : -shape.keys].contiguous()
        (q_normed, q_rms), (k_normed, k_rms) = _norm(q, q_weight, eps), _norm(k, k_weight, eps)
        ctx.save_for_backward(h, rms, weight, cos, sin, q, q_rms, q_weight, k, k_rms, k_weight)
        ctx.qkv, ctx.shape = qkv, shape
        return (
            _rotate(q_normed, cos, sin),
            _rotate(k_normed, cos, sin),
            heads[:, -shape.keys :].contiguous(),
        )

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        h, rms, weight, cos, sin, *normed = ctx.saved_tensors
        dy, into = _empty_heads(h, ctx.shape)
        weights = []
        for grad, place, (x, x_rms, x_weight), needed in zip(
            grads, into, (normed[:3], normed[3:]), ctx.needs_input_grad[2:4], strict=False
        ):
            dx, dx_weight = _norm_backward(_rotate(grad, cos, -sin), x, x_rms, x_weight, (True, needed))
            if dx is not None:
                place.copy_(dx)
            weights.append(dx_weight)
        into[2].copy_(grads[2])
        dh, dweight, leaves = _heads_backward(ctx, dy, h, rms, weight)
        return dh, dweight, *weights, None, None, None, None, None, *leaves


def _empty_heads(h: Tensor, shape: Shape) -> tuple[Tensor, list[Tensor]]:
    """Room for the gradient (N, columns) of a product, and views of its parts (N, heads or kv_heads, D)."""
    dy = h.new_empty((len(h), sum(shape.columns)))
    return dy, [part.view(len(h), -1, shape.size) for part in torch.split(dy, shape.columns, 1)]


def _heads_backward(
    ctx: Any, dy: Tensor, h: Tensor, rms: Tensor, weight: Tensor
) -> tuple[Tensor | None, Tensor | None, list[Tensor]]:
    """Gradients of h, of the norm's weight and of the product's leaves."""
    n = _normed(h, rms, weight)
    wants = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
    dn, leaves = ctx.qkv.backward(n, dy, wants)
    return *_norm_backward(dn, h, rms, weight, ctx.needs_input_grad[:2]), leaves


class Linear(Function):
    """O x for x (N, in)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, o: Projection, *leaves: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        ctx.o = o
        return o.forward(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        dx, leaves = ctx.o.backward(x, grads[0], ctx.needs_input_grad[0])
        return dx, None, *leaves


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
    """h + D (act(G m) * U m), m = norm(h), for h (N, d); without the sum where it is not `whole`."""

    @staticmethod
    def forward(
        ctx: Any,
        h: Tensor,
        weight: Tensor,
        eps: float,
        gate_up: Projection,
        down: Projection,
        act: str,
        whole: bool,
        *leaves: Tensor,
    ) -> Tensor:
        threads.pace()
        m, rms = _norm(h, weight, eps)
        both = gate_up.forward(m)  # (N, 2 f)
        gate, up = both.chunk(2, 1)  # (N, f) each
        ctx.save_for_backward(h, rms, weight, both)
        ctx.gate_up, ctx.down, ctx.act, ctx.whole = gate_up, down, act, whole
        out = down.forward(_activated(act, gate).mul_(up))
        return out.add_(h) if whole else out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        threads.pace()
        h, rms, weight, both = ctx.saved_tensors
        dy = grads[0]  # (N, d)
        gate, up = both.chunk(2, 1)  # (N, f) each
        act = _activated(ctx.act, gate)
        dx, down_leaves = ctx.down.backward(act * up, dy, True)  # dx (N, f)
        dboth = torch.empty_like(both)  # (N, 2 f)
        dgate, dup = dboth.chunk(2, 1)
        torch.mul(dx, act, out=dup)
        _activated_backward(ctx.act, dx.mul_(up), gate, dgate)
        m = _normed(h, rms, weight)
        wants = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        dm, leaves = ctx.gate_up.backward(m, dboth, wants)
        dh, dweight = _norm_backward(dm, h, rms, weight, ctx.needs_input_grad[:2])
        if dh is not None and ctx.whole:
            dh += dy
        return dh, dweight, None, None, None, None, None, *leaves, *down_leaves


ACTIVATIONS = ("silu", "gelu_pytorch_tanh")  # by transformers' names


def _activated(act: str, x: Tensor) -> Tensor:
    return silu(x) if act == "silu" else gelu(x, approximate="tanh")


def _activated_backward(act: str, grad: Tensor, x: Tensor, out: Tensor) -> None:
    """Write the gradient of x, from that of the activation, into `out`."""
    if act == "silu":
        torch.ops.aten.silu_backward.grad_input(grad, x, grad_input=out)
    else:
        torch.ops.aten.gelu_backward.grad_input(grad, x, approximate="tanh", grad_input=out)


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
    """norm(h) over the last dimension, and 1 / rms (..., 1) in fp32 or wider."""
    wide = torch.promote_types(h.dtype, torch.float32)
    length = torch.linalg.vector_norm(h, dim=-1, keepdim=True, dtype=wide)  # (..., 1)
    rms = torch.rsqrt(length.square_() / h.shape[-1] + eps)
    return _normed(h, rms, weight), rms


def _normed(h: Tensor, rms: Tensor, weight: Tensor) -> Tensor:
    return torch.mul(h, rms, out=torch.empty_like(h)).mul_(weight)


def _norm_backward(
    dn: Tensor | None, h: Tensor, rms: Tensor, weight: Tensor, needs: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of h and of the weight, each where it is needed."""
    if dn is None:
        return None, None
    dweight = None
    if needs[1]:
        dweight = (
            (dn * _normed(h, rms, torch.ones_like(weight))).flatten(0, -2).sum(0).to(weight.dtype)
        )  # (d,)
    if not needs[0]:
        return None, dweight
    dn = (dn * weight).to(h.dtype)
    dot = (dn * h).sum(-1, keepdim=True, dtype=rms.dtype)  # (..., 1)
    share = dot * rms.square() / -h.shape[-1]
    dh = torch.addcmul(dn, h, share.to(h.dtype))
    return torch.mul(dh, rms, out=dh), dweight


def _rotate(x: Tensor, cos: Tensor, sin: Tensor, out: Tensor | None = None) -> Tensor:
    """x (N, heads, D) rotated by the angles of cos and sin (N, 1, r / 2), in its first r columns alone."""
    if out is None:
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    turned = 2 * cos.shape[-1]
    if turned < x.shape[-1]:
        out[..., turned:] = x[..., turned:]
    x1, x2 = x[..., :turned].chunk(2, -1)  # (N, heads, r / 2) each
    first, second = out[..., :turned].chunk(2, -1)
    torch.mul(x1, cos, out=first).addcmul_(x2, sin, value=-1)
    torch.mul(x2, cos, out=second).addcmul_(x1, sin)
    return out
