"""Attention over packs: segments that lie side by side in one row and do not see each other.

A pass over a pack is ``hidden_states(model, ids, positions, layout)`` (`rung.bases.body`). Every attention
layer hands its rotated queries, keys and values to ``layout.attend``, so what may see what is decided in one
place and no T x T mask is ever made. Two partial attentions over disjoint keys are joined exactly by their
log-sum-exps l1, l2:   out = out1 * exp(l1 - l) + out2 * exp(l2 - l),   l = log(exp(l1) + exp(l2)).

Importing this module registers the attention "rung" with transformers (`AttentionInterface`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from rung.bases.batches import pieces
from rung.bases.blocks import Blocks

NAME = "rung"
Part = tuple[Tensor, Tensor]  # out (B, heads, T, D) and its log-sum-exp (B, heads, T) in fp32


class Layout(Protocol):
    """Decides what each position of a pass may see."""

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None) -> Tensor:
        """q (B, heads, T, D), k and v (B, kv_heads, T, D), rotated -> out (B, heads, T, D)."""
        ...


@dataclass
class Prefix:
    """Keys and values of tokens that come before every segment: per layer (1, kv_heads, P, D)."""

    keys: list[Tensor]
    values: list[Tensor]

    @property
    def length(self) -> int:
        return int(self.keys[0].shape[2])


def positions(lengths: Sequence[int], start: int = 0, device: torch.device | str = "cpu") -> Tensor:
    """Position ids (1, sum of lengths) that start again at `start` in every segment."""
    return torch.cat([torch.arange(start, start + n, device=device) for n in lengths])[None]


class Packed:
    """Segments side by side in one row, causal inside each, after an optional common prefix.

    The prefix gets no gradient. With ``keep`` the pass leaves its keys and values, per layer
    (1, kv_heads, T, D), in `keys` and `values`.
    """

    def __init__(self, lengths: Sequence[int], prefix: Prefix | None = None, keep: bool = False) -> None:
        self.lengths = list(lengths)
        self.prefix = prefix
        self.keep = keep
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self._plans: dict[int, Blocks] = {}  # by the number of rows of the pass

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None) -> Tensor:
        if self.keep:
            # (1, kv_heads, T, D), copied, or it would keep the larger tensor that it is a view of
            self.keys.append(k.transpose(1, 2).contiguous().transpose(1, 2))
            self.values.append(v)
        batch, _, tokens, _ = q.shape
        if batch > 1:  # put the rows into one sequence: (B, heads, T, D) -> (1, heads, B * T, D)
            q, k, v = (x.transpose(0, 1).flatten(1, 2)[None] for x in (q, k, v))
        start = self.prefix.length if self.prefix else 0
        if window is not None and start + max(self.lengths) > window:
            out = self._windowed(layer, q, k, v, scale, window)
        else:
            past = (self.prefix.keys[layer], self.prefix.values[layer]) if self.prefix else None
            out = self._plan(batch).attend(q, k, v, scale, past)
        # (1, heads, B * T, D) -> (B, heads, T, D)
        return out if batch == 1 else torch.stack(torch.split(out[0], tokens, 1))

    def _plan(self, batch: int) -> Blocks:
        if batch not in self._plans:
            lengths: list[int] = []
            parents: list[int] = []
            for n in self.lengths * batch:
                cuts = pieces(n)
                parents += [-1, *range(len(lengths), len(lengths) + len(cuts) - 1)]
                lengths += cuts
            self._plans[batch] = Blocks(lengths, parents)
        return self._plans[batch]

    def _windowed(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int) -> Tensor:
        """Each position sees at most `window` positions, itself included."""
        past = self.prefix.length if self.prefix else 0
        outs = []
        lengths = self.lengths * (q.shape[2] // sum(self.lengths))
        for a, b, c in zip(*(torch.split(x, lengths, 2) for x in (q, k, v)), strict=True):
            # a (1, heads, n, D); b and c (1, kv_heads, n, D), then (1, kv_heads, past + n, D)
            if self.prefix:
                b = torch.cat([self.prefix.keys[layer], b], 2)
                c = torch.cat([self.prefix.values[layer], c], 2)
            mask = causal_mask(a.shape[2], past, window, a.device)
            outs.append(scaled_dot_product_attention(a, b, c, attn_mask=mask, scale=scale, enable_gqa=True))
        return torch.cat(outs, 2)  # (1, heads, T, D)


def causal_mask(length: int, past: int, window: int | None, device: torch.device | str) -> Tensor:
    """Boolean (length, past + length): true where position ``past + i`` may see position ``j``."""
    at = torch.arange(past, past + length, device=device)[:, None]  # (length, 1)
    to = torch.arange(past + length, device=device)[None]  # (1, past + length)
    seen = to <= at
    return seen if window is None else seen & (at - to < window)


def flash(q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None = None) -> Part:
    """Attention and its log-sum-exp, without gradient.

    q (B, heads, T, D); k, v (B, kv_heads, S, D); `mask` is additive, broadcastable to (B, heads, T, S).
    Rows that see nothing must not occur.
    """
    if q.device.type == "cpu" and not torch.is_grad_enabled():
        # The op reads q, k, v by their strides but wants the last dimension dense.
        result: Part = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            q, k, v, 0.0, False, attn_mask=mask, scale=scale
        )
        return result
    return reference(q, k, v, scale, mask)


def reference(q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None = None) -> Part:
    """The same as `flash`, written out in fp32: softmax(q k^T scale + mask) v."""
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)  # (B, heads, S, D)
    scores = (q.float() @ k.float().transpose(-1, -2)) * scale  # (B, heads, T, S)
    if mask is not None:
        scores = scores + mask
    lse = torch.logsumexp(scores, -1)  # (B, heads, T)
    return ((scores - lse[..., None]).exp() @ v.float()).to(q.dtype), lse


def merge(first: Part, second: Part) -> Part:
    """Join attentions of the same queries over disjoint keys; exact."""
    (out1, lse1), (out2, lse2) = first, second  # each (B, heads, T, D) and (B, heads, T)
    lse = torch.logaddexp(lse1, lse2)
    out = out1 * (lse1 - lse).exp()[..., None].to(out1.dtype)
    return out + out2 * (lse2 - lse).exp()[..., None].to(out2.dtype), lse


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in every attention layer. Raises ValueError where rung would be inexact."""
    for extra in ("softcap", "s_aux"):
        if kwargs.get(extra) is not None:
            raise ValueError(f"this model's attention uses {extra!r}, which rung does not compute yet")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    layout: Layout = kwargs.get("layout") or Packed([query.shape[2]])
    layer: int = getattr(module, "layer_idx", 0)
    # query (B, heads, T, D), key and value (B, kv_heads, T, D) -> (B, T, heads, D), as transformers wants it
    out = layout.attend(layer, query, key, value, scale, kwargs.get("sliding_window"))
    return out.transpose(1, 2), None


def _no_mask(*args: Any, attention_mask: Tensor | None = None, **kwargs: Any) -> None:
    """The layout says what may be seen; transformers makes no mask. Padding would be seen: it is refused."""
    if attention_mask is not None and not attention_mask.all():
        raise ValueError("rung's attention takes no padding: pass segments with a layout")


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, _no_mask)
