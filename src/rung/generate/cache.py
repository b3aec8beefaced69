"""Keys and values that outlive one pass: the prefix all prompts share, and the rows being decoded.

`prefill` reads prompts, packed side by side without padding. `Rows` then holds each row's own keys and
values aligned at the right: row i fills the columns ``[end - length_i, end)``. So a new token of every row
goes into one column, a sliding window is a slice of columns, and the mask is fixed until rows come or go.
The shared prefix is attended as one sequence: the rows' queries become query positions of a single call,
and both parts are joined exactly by their log-sum-exp.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from rung.bases.attention import Layout, Packed, Part, Prefix, flash, merge, positions
from rung.bases.base import Base
from rung.bases.shared import shared_length

Ids = Sequence[int]
MIN_PREFIX = 16  # tokens; a shorter common prefix costs more calls than it saves
PASS_TOKENS = 2048  # tokens of prompts read in one pass
BLOCK = 32  # columns that buffers grow by, at least


def hidden(base: Base, ids: Tensor, position_ids: Tensor, layout: Layout) -> Tensor:
    """Last hidden states (B, T, d) of tokens (B, T) at their positions, attended as `layout` says."""
    out = base.model.base_model(
        input_ids=ids, position_ids=position_ids, use_cache=False, layout=layout
    ).last_hidden_state
    assert isinstance(out, Tensor)
    return out


def common_prefix(prompts: Sequence[tuple[int, ...]]) -> int:
    """Length of the prefix to share, 0 or at least `MIN_PREFIX`; each prompt keeps a token of its own."""
    most = min((len(prompt) for prompt in prompts), default=0) - 1
    return shared_length(prompts, most, MIN_PREFIX)


def read_prefix(base: Base, ids: Ids) -> Prefix | None:
    """Keys and values of a prefix, computed once; None for an empty one."""
    if not ids:
        return None
    layout = Packed([len(ids)], keep=True)
    hidden(base, torch.tensor([list(ids)], device=base.device), positions([len(ids)], 0, base.device), layout)
    return Prefix(layout.keys, layout.values)


def prefill(base: Base, tails: Sequence[Ids], prefix: Prefix | None) -> Iterator[tuple[Packed, Tensor]]:
    """Read `tails` after the prefix, in passes of about `PASS_TOKENS` tokens, in order.

    Yields for each pass its layout, which keeps keys and values, and the hidden states (segments, d) at the
    last token of each segment.
    """
    start = prefix.length if prefix else 0
    for group in _passes(tails):
        lengths = [len(tail) for tail in group]
        layout = Packed(lengths, prefix, keep=True)
        ids = torch.tensor([[token for tail in group for token in tail]], device=base.device)
        states = hidden(base, ids, positions(lengths, start, base.device), layout)[0]
        yield layout, states[torch.tensor(lengths, device=base.device).cumsum(0) - 1]


def _passes(tails: Sequence[Ids]) -> Iterator[list[Ids]]:
    group: list[Ids] = []
    size = 0
    for tail in tails:
        if group and size + len(tail) > PASS_TOKENS:
            yield group
            group, size = [], 0
        group.append(tail)
        size += len(tail)
    if group:
        yield group


class Rows:
    """Own keys and values of rows that may share a prefix; rows join and leave by `change`."""

    def __init__(self, prefix: Prefix | None = None) -> None:
        self.prefix = prefix
        self.lengths: list[int] = []  # own tokens of each row
        self.end = 0  # columns in use
        self.keys: list[Tensor] = []  # per layer (B, kv_heads, capacity, D)
        self.values: list[Tensor] = []
        self._pad: Tensor | None = None  # (B, 1, 1, capacity), -inf left of each row; None if nothing is

    @property
    def width(self) -> int:
        """Tokens of the longest row."""
        return max(self.lengths, default=0)

    @property
    def start(self) -> int:
        """Position of a row's first own token."""
        return self.prefix.length if self.prefix else 0

    def change(
        self,
        keep: Sequence[int],
        packs: Sequence[tuple[Packed, Sequence[int]]] = (),
        *,
        room: int | None = None,
    ) -> None:
        """Rows `keep` stay, in that order, and the chosen segments of each pack join after them.

        Leaves free columns for `room` more tokens (default: `BLOCK` or a quarter of the width).
        """
        packs = [(packed, chosen) for packed, chosen in packs if chosen]
        fresh = [packed.lengths[j] for packed, chosen in packs for j in chosen]
        lengths = [self.lengths[i] for i in keep] + fresh
        if not lengths:
            self.keys, self.values, self.lengths, self.end, self._pad = [], [], [], 0, None
            return
        width = max(lengths)
        capacity = width + (max(BLOCK, width // 4) if room is None else room)
        gathers = [_columns(packed.lengths, chosen) for packed, chosen in packs]
        stay = slice(None) if list(keep) == list(range(len(self.lengths))) else list(keep)
        for kind in ("keys", "values"):
            old: list[Tensor] = getattr(self, kind)
            news = [getattr(packed, kind) for packed, _ in packs]
            for layer in range(max(len(old), *(len(new) for new in news), 0)):
                parts = [old[layer][stay, :, self.end - min(width, self.end) : self.end]] if keep else []
                parts += [new[layer][0][:, at].transpose(0, 1) for new, at in zip(news, gathers, strict=True)]
                buffer = _right_aligned(parts, width, capacity)
                old[layer : layer + 1] = [buffer]
        self.lengths, self.end = lengths, width
        self._pad = self._padding(capacity)

    def _padding(self, capacity: int) -> Tensor | None:
        if len(set(self.lengths)) < 2:
            return None
        like = self.keys[0]
        first = torch.tensor([self.end - n for n in self.lengths])
        hide = torch.arange(capacity)[None] < first[:, None]
        pad = torch.zeros(hide.shape, dtype=like.dtype).masked_fill_(hide, -math.inf)
        return pad[:, None, None].to(like.device)

    def own(self, layer: int, q: Tensor, scale: float, first: int = 0, extra: Tensor | None = None) -> Part:
        """Attention of grouped queries (B, kv_heads, R, D) to own columns from `first` on.

        `extra` is an additive mask (R, columns from `first` on) for all rows.
        """
        first = max(first, self.end - self.width)
        columns = slice(first, self.end)
        mask = None if self._pad is None else self._pad[..., columns]
        if extra is not None:
            extra = extra[None, None, :, -(self.end - first) :]
            mask = extra if mask is None else mask + extra
        return flash(q, self.keys[layer][:, :, columns], self.values[layer][:, :, columns], scale, mask=mask)

    def shared(self, layer: int, q: Tensor, scale: float, window: int | None, after: Tensor) -> Part | None:
        """Attention of grouped queries (B, kv_heads, R, D) to the prefix; None where no query sees it.

        `after` (B, R) counts the own tokens before each query: its position less the prefix's length.
        """
        if self.prefix is None:
            return None
        b, heads, r, d = q.shape
        keys, values = self.prefix.keys[layer], self.prefix.values[layer]
        mask = blind = None
        if window is not None and self.start + int(after.max()) >= window:
            sees = (window - 1 - after).reshape(-1)  # of the prefix's last tokens, how many
            most = min(int(sees.max()), self.start)
            if most <= 0:
                return None
            keys, values = keys[:, :, -most:], values[:, :, -most:]
            blind = sees <= 0
            hide = (torch.arange(most, 0, -1, device=q.device) > sees[:, None]) & ~blind[:, None]
            mask = torch.zeros(hide.shape, dtype=q.dtype, device=q.device).masked_fill_(hide, -math.inf)
        line = q.transpose(0, 1).reshape(1, heads, b * r, d)
        out, lse = flash(line, keys, values, scale, mask=mask if mask is None else mask[None, None])
        if blind is not None:
            lse = lse.masked_fill(blind, -math.inf)
        return out.view(heads, b, r, d).transpose(0, 1), lse.view(heads, b, r).transpose(0, 1)


class Decode(Rows):
    """The layout of a decoding step: one new token a row. Call `open` before every pass."""

    def __init__(self, prefix: Prefix | None = None) -> None:
        super().__init__(prefix)
        self._after = torch.zeros(0, dtype=torch.long)

    def change(
        self,
        keep: Sequence[int],
        packs: Sequence[tuple[Packed, Sequence[int]]] = (),
        *,
        room: int | None = None,
    ) -> None:
        super().change(keep, packs, room=room)
        device = self.keys[0].device if self.keys else "cpu"
        self._after = torch.tensor(self.lengths, dtype=torch.long, device=device)

    def open(self) -> Tensor:
        """Make a column for one more token of every row; returns the tokens' position ids (B, 1)."""
        if self.end == self.keys[0].shape[2]:
            self.change(range(len(self.lengths)))
        at = self._after
        self._after = at + 1
        self.lengths = [n + 1 for n in self.lengths]
        self.end += 1
        return (at + self.start)[:, None]

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None) -> Tensor:
        """q (B, heads, 1, D); k, v (B, kv_heads, 1, D) -> (B, heads, 1, D); see `Layout`."""
        self.keys[layer][:, :, self.end - 1] = k[:, :, 0]
        self.values[layer][:, :, self.end - 1] = v[:, :, 0]
        grouped = group(q, k.shape[1])
        own = self.own(layer, grouped, scale, 0 if window is None else self.end - window)
        after = (self._after - 1)[:, None].expand(-1, grouped.shape[2])
        shared = self.shared(layer, grouped, scale, window, after)
        out = own[0] if shared is None else merge(shared, own)[0]
        return out.reshape(q.shape)


def group(q: Tensor, kv_heads: int) -> Tensor:
    """Queries (B, heads, T, D) as (B, kv_heads, heads / kv_heads * T, D): a group's heads as positions."""
    b, _, _, d = q.shape
    return q.reshape(b, kv_heads, -1, d)


def _columns(lengths: Sequence[int], chosen: Sequence[int]) -> Tensor:
    """Places (rows, width) in a pack of the chosen segments, aligned at the right; 0 left of them."""
    ends = torch.tensor(lengths).cumsum(0)
    sizes = torch.tensor([lengths[j] for j in chosen])
    width = int(sizes.max()) if len(chosen) else 0
    back = torch.arange(width, 0, -1)
    at = ends[list(chosen)][:, None] - back
    return at.masked_fill(back > sizes[:, None], 0)


def _right_aligned(parts: Sequence[Tensor], width: int, capacity: int) -> Tensor:
    """Parts (rows, heads, w, D) below each other in zeros (rows, heads, capacity, D), ending at `width`."""
    like = parts[0]
    rows = sum(len(part) for part in parts)
    buffer = like.new_zeros((rows, like.shape[1], capacity, like.shape[3]))
    at = 0
    for part in parts:
        buffer[at : at + len(part), :, width - part.shape[2] : width] = part
        at += len(part)
    return buffer
