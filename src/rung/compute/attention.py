"""Attention over packs: segments that lie side by side in one row and do not see each other.

A pass (`rung.compute.passes`) goes through `rung.compute.body` with its layout. Every attention
layer hands its rotated queries, keys and values to ``layout.attend``, so what may see what is decided in one
place and no T x T mask is ever made. Two partial attentions over disjoint keys are joined exactly by their
log-sum-exps l1, l2:   out = out1 * exp(l1 - l) + out2 * exp(l2 - l),   l = log(exp(l1) + exp(l2)).

A base that is computed by its own code alone (`rung.compute.plain`) asks ``layout.whole`` instead for the
rows that the pass stands for. What such a pass keeps as keys and values are the token ids themselves.

Importing this module registers the attention "rung" with transformers (`AttentionInterface`). Inside
`attending` it goes by a layout. It raises for everything that it would not compute as the model does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils.rnn import pad_sequence
from transformers import AttentionInterface, AttentionMaskInterface

from rung.compute.blocks import Blocks
from rung.data.prefix import pieces

NAME = "rung"
Part = tuple[Tensor, Tensor]  # out (B, heads, T, D) and its log-sum-exp (B, heads, T) in fp32


class Layout(Protocol):
    """Decides what each position of a pass may see."""

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None) -> Tensor:
        """q (B, heads, T, D), k and v (B, kv_heads, T, D), rotated -> out (B, heads, T, D)."""
        ...

    def whole(self, ids: Tensor) -> Whole:
        """The rows that a pass over tokens ids (B, T) stands for."""
        ...


@dataclass(frozen=True, slots=True)
class Whole:
    """Rows from their first token on. Token t of the pass, of B * T, is token ``at[t]`` of row ``row[t]``."""

    ids: Tensor  # (R, longest), filled up with zeros at the right
    lengths: list[int]  # of the rows
    row: Tensor  # (B * T,)
    at: Tensor  # (B * T,)


@dataclass
class Prefix:
    """Keys and values of tokens that come before every segment: per layer (1, kv_heads, P, D)."""

    keys: list[Tensor]
    values: list[Tensor]

    @property
    def length(self) -> int:
        return int(self.keys[0].shape[2])

    def after(self, first: Prefix | None) -> Prefix:
        """This one after `first`."""
        if first is None:
            return self
        keys, values = (
            [torch.cat(pair, 2) for pair in zip(one, two, strict=True)]
            for one, two in ((first.keys, self.keys), (first.values, self.values))
        )
        return Prefix(keys, values)


def positions(lengths: Sequence[int], start: int = 0, device: torch.device | str = "cpu") -> Tensor:
    """Position ids (1, sum of lengths) that start again at `start` in every segment."""
    return torch.cat([torch.arange(start, start + n, device=device) for n in lengths])[None]


class Packed:
    """Segments side by side in one row, causal inside each, after an optional common prefix.

    With ``keep`` the pass leaves its keys and values, per layer
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

    def whole(self, ids: Tensor) -> Whole:
        """Each segment after the prefix; see `Layout`."""
        if self.keep:
            self.keys.append(ids[:, None, :, None])  # (B, T) -> (B, 1, T, 1)
            self.values.append(ids[:, None, :, None])
        lengths = self.lengths * len(ids)
        front = [self.prefix.keys[0].flatten()] if self.prefix else []  # (P,)
        rows = [torch.cat([*front, part]) for part in torch.split(ids.flatten(), lengths)]
        start = self.prefix.length if self.prefix else 0
        row = torch.repeat_interleave(torch.tensor(lengths, device=ids.device))
        at = positions(lengths, start, ids.device)[0]
        return Whole(pad_sequence(rows, batch_first=True), [start + n for n in lengths], row, at)

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


@dataclass
class _Pass:
    """A pass through transformers' layers, which call the attention one after the other."""

    layout: Layout
    layer: int = 0  # of the next call


_current: ContextVar[_Pass | None] = ContextVar("pass", default=None)


@contextmanager
def attending(layout: Layout) -> Iterator[None]:
    """Passes of transformers' layers inside go by `layout`.

    Raises ValueError at the end where no layer asked for it: the model then has another attention.
    """
    now = _Pass(layout)
    token = _current.set(now)
    try:
        yield
    finally:
        _current.reset(token)
    if not now.layer:
        raise ValueError("no layer of the model asked for the layout of the pass")


@dataclass(frozen=True, slots=True)
class _Window:
    """Stands for a mask that hides what is more than `size` tokens away, or in another chunk of that size."""

    size: int


# What transformers passes to an attention function without changing what it computes.
_WITHOUT_EFFECT = {"position_ids", "use_cache", "cache_position", "output_attentions", "output_hidden_states"}


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | _Window | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in every attention layer. Raises ValueError where rung would be inexact."""
    for name, given in others.items():
        if given is not None and name not in _WITHOUT_EFFECT:
            raise ValueError(f"the model's attention uses {name!r}, which rung does not compute")
    masked = attention_mask.size if isinstance(attention_mask, _Window) else None
    if attention_mask is not None and masked is None:
        raise ValueError("the model's attention makes a mask of its own, which rung does not read")
    if masked != sliding_window:
        raise ValueError(f"the mask's window is {masked} and that of the attention {sliding_window}")
    if dropout:
        raise ValueError("the model's attention drops weights out, which rung does not compute")
    if is_causal is False or not getattr(module, "is_causal", True):
        raise ValueError("the model's attention looks at later tokens")
    if value.shape[-1] != query.shape[-1]:
        raise ValueError("the values of the model's attention are not as wide as its keys")
    if key.shape[2] != query.shape[2]:
        raise ValueError("the model's attention reads a cache, which rung's does not")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    now = _current.get() or _Pass(Packed([query.shape[2]]))
    # query (B, heads, T, D), key and value (B, kv_heads, T, D) -> (B, T, heads, D), as transformers wants it
    out = now.layout.attend(now.layer, query, key, value, scale, sliding_window)
    now.layer += 1
    return out.transpose(1, 2), None


def _no_mask(
    *args: Any, attention_mask: Tensor | None = None, local_size: int | None = None, **kwargs: Any
) -> _Window | None:
    """The layout says what may be seen; transformers makes no mask. Padding would be seen: it is refused."""
    if attention_mask is not None and not attention_mask.all():
        raise ValueError("rung's attention takes no padding: pass segments with a layout")
    return None if local_size is None else _Window(local_size)


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, _no_mask)
