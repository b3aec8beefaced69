"""Keys and values that outlive one pass: the prefix all prompts share, and the rows being decoded.

`prefill` reads prompts, packed side by side without padding. `Rows` then holds each row's own keys and
values aligned at the right: row i fills the columns ``[end - length_i, end)``. So a new token of every row
goes into one column, a sliding window is a slice of columns, and the mask is fixed until rows come or go.

A long prefix is attended as one sequence: the rows' queries become query positions of a single call, and
both parts are joined exactly by their log-sum-exp. A short one costs less as columns of every row.

On the plain path (`rung.compute.plain`) the keys are the token ids themselves, of one layer: enough to write
out every row again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from rung.bases.base import Base
from rung.compute.attention import Packed, Part, Prefix, Whole, flash, merge
from rung.compute.body import hidden_states
from rung.compute.by_row import ByRow
from rung.compute.lead import lead_of
from rung.compute.passes import over_segments
from rung.data.prefix import common_length

Ids = Sequence[int]
MIN_PREFIX = 16  # tokens; a shorter common prefix costs more calls than it saves
PASS_TOKENS = 2048  # tokens of prompts read in one pass
COPIED = 64  # tokens; a prefix up to this is copied to every decoded row, which saves a call and a merge
BLOCK = 128  # columns that buffers grow by, at most


def common_prefix(prompts: Sequence[tuple[int, ...]]) -> int:
    """Length of the prefix to share, 0 or at least `MIN_PREFIX`; each prompt keeps at least one own token."""
    if len(prompts) < 2:
        return 0
    length = min(common_length(prompts), min(map(len, prompts)) - 1)
    return length if length >= MIN_PREFIX else 0


def read_prefix(base: Base, ids: Ids) -> Prefix | None:
    """Keys and values of `ids`, computed once, after what comes before every row; None for nothing."""
    lead = lead_of(base.model)
    before = lead.prefix() if lead.prefix else None
    ids = (*lead.ids, *ids)
    if not ids:
        return before
    one, kept = over_segments(base.model, [ids], before, keep=True)
    hidden_states(base.model, one)
    return Prefix(kept.keys, kept.values).after(before)


def prefill(
    base: Base,
    tails: Sequence[Ids],
    prefix: Prefix | None,
    spread: Callable[[Sequence[int], Sequence[int]], ByRow] | None = None,
) -> Iterator[tuple[Packed, Tensor]]:
    """Read `tails` after the prefix, in passes of about `PASS_TOKENS` tokens, in order.

    Where the tails use different slots, `spread` gives those of some of them, by number, of so many tokens.

    Yields for each pass its layout, which keeps keys and values, and the hidden states (segments, d) at the
    last token of each segment.
    """
    at = 0
    for group in _passes(tails):
        one, layout = over_segments(base.model, group, prefix, keep=True, ends=True)
        if spread is not None:
            one = replace(one, rows=spread(range(at, at + len(group)), layout.lengths))
        at += len(group)
        yield layout, hidden_states(base.model, one)


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
    """Own keys and values of rows that may share a prefix; rows join and leave by `change`.

    Packs read after a prefix that is not shared here bring it along: it becomes columns of their rows.
    """

    def __init__(self, prefix: Prefix | None = None) -> None:
        self.prefix = prefix
        self.lengths: list[int] = []  # own tokens of each row
        self.end = 0  # columns in use
        self.keys: list[Tensor] = []  # per layer (B, kv_heads, capacity, D)
        self.values: list[Tensor] = []
        self._pad: Tensor | None = None  # (B, kv_heads, 1, capacity), -inf where nothing is; None: nowhere

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

        Leaves free columns for `room` more tokens (default: `BLOCK`).
        """
        packs = [(packed, chosen) for packed, chosen in packs if chosen]
        leads = [self._lead(packed) for packed, _ in packs]
        fresh = [
            lead + packed.lengths[j]
            for lead, (packed, chosen) in zip(leads, packs, strict=True)
            for j in chosen
        ]
        lengths = [self.lengths[i] for i in keep] + fresh
        if not lengths:
            self.keys, self.values, self.lengths, self.end, self._pad = [], [], [], 0, None
            return
        width = max(lengths)
        capacity = width + (BLOCK if room is None else room)
        gathers = [
            _columns(packed.lengths, chosen, lead)
            for lead, (packed, chosen) in zip(leads, packs, strict=True)
        ]
        stay = slice(None) if list(keep) == list(range(len(self.lengths))) else list(keep)
        seen = slice(self.end - min(width, self.end), self.end)
        for layer in range(max(len(self.keys), *(len(packed.keys) for packed, _ in packs), 0)):
            # parts of (rows, kv_heads, w, D) each: the rows that stay, then the chosen segments of every pack
            keys = [self.keys[layer][stay, :, seen]] if keep else []
            values = [self.values[layer][stay, :, seen]] if keep else []
            for lead, (packed, _), at in zip(leads, packs, gathers, strict=True):
                front = packed.prefix if lead else None
                keys.append(_gather(front.keys[layer] if front else None, packed.keys[layer], at))
                values.append(_gather(front.values[layer] if front else None, packed.values[layer], at))
            self.keys[layer : layer + 1] = [_right_aligned(keys, width, capacity)]
            self.values[layer : layer + 1] = [_right_aligned(values, width, capacity)]
        self.lengths, self.end = lengths, width
        self._pad = self._padding(capacity)

    def extend(self, columns: int, room: int = BLOCK) -> None:
        """Take `columns` more columns of every row into use; where so many are not free, make `room`."""
        if self.end + columns > self.keys[0].shape[2]:
            self.change(range(len(self.lengths)), room=max(columns, room))
        self.lengths = [n + columns for n in self.lengths]
        if self._pad is not None:
            self._pad[..., self.end : self.end + columns] = 0
        self.end += columns

    def _lead(self, packed: Packed) -> int:
        """Tokens of the pack's prefix that its rows must hold themselves."""
        return packed.prefix.length if packed.prefix and self.prefix is None else 0

    def _padding(self, capacity: int) -> Tensor | None:
        if self.end == capacity and len(set(self.lengths)) == 1:
            return None
        like = self.keys[0]
        first = torch.tensor([self.end - n for n in self.lengths])  # (B,) first column that a row fills
        column = torch.arange(capacity)
        hide = (column < first[:, None]) | (column >= self.end)  # (B, capacity)
        dtype = like.dtype if like.is_floating_point() else torch.float32
        pad = torch.zeros(hide.shape, dtype=dtype).masked_fill_(hide, -math.inf)
        return pad[:, None, None].repeat(1, like.shape[1], 1, 1).to(like.device)

    def tokens(self, columns: int = 0) -> tuple[Tensor, list[int]]:
        """The ids (B, longest) of every row from the prefix on, filled up at the right, and their numbers.

        Without the last `columns` in use. On the plain path alone.
        """
        end = self.end - columns
        lengths = [n - columns for n in self.lengths]
        keys = self.keys[0][:, 0, :, 0]  # (B, capacity)
        first = torch.tensor([end - n for n in lengths], device=keys.device)[:, None]
        at = torch.arange(max(lengths), device=keys.device) + first  # (B, longest)
        ids = keys.gather(1, at.clamp_(max=max(end - 1, 0)))
        if self.prefix is not None:
            front = self.prefix.keys[0].view(1, -1).expand(len(ids), -1)  # (B, P)
            ids = torch.cat([front, ids], 1)
        return ids, [self.start + n for n in lengths]

    def own(self, layer: int, q: Tensor, scale: float, first: int = 0, extra: Tensor | None = None) -> Part:
        """Attention of grouped queries (B, kv_heads, R, D) to own columns from `first` on.

        `extra` is an additive mask, broadcastable to (B, kv_heads, R, columns from `first` on).
        """
        scores = self._scores(layer, q, scale, first, extra)
        return self._mix(layer, scores, q), torch.logsumexp(scores.float(), -1).view(q.shape[:3])

    def _scores(self, layer: int, q: Tensor, scale: float, first: int, extra: Tensor | None = None) -> Tensor:
        """Masked scores (B * kv_heads, R, columns) of the same columns as in `own`.

        Columns not yet in use are masked rather than cut off: a product with part of a buffer copies it.
        """
        keys = self.keys[layer][:, :, max(first, 0) :].flatten(0, 1)  # (B * kv_heads, columns, D)
        scores = torch.bmm(q.flatten(0, 1) * scale, keys.mT)  # (B * kv_heads, R, columns)
        if self._pad is not None:
            scores += self._pad[..., max(first, 0) :].flatten(0, 1)  # (B * kv_heads, 1, columns)
        if extra is not None:
            scores.view(*q.shape[:3], -1).add_(extra)
        return scores

    def _mix(self, layer: int, scores: Tensor, q: Tensor) -> Tensor:
        """softmax(scores) V for the last columns, shaped like q."""
        values = self.values[layer][:, :, -scores.shape[2] :]  # (B, kv_heads, columns, D)
        return torch.bmm(scores.softmax(-1), values.flatten(0, 1)).view(q.shape)

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
            sees = (window - 1 - after).reshape(-1)  # (B * R,) of the prefix's last tokens, how many
            most = min(int(sees.max()), self.start)
            if most <= 0:
                return None
            keys, values = keys[:, :, -most:], values[:, :, -most:]
            blind = sees <= 0
            # (B * R, most); a blind query gets no mask, since a row of -inf alone would give NaN: see `lse`
            hide = (torch.arange(most, 0, -1, device=q.device) > sees[:, None]) & ~blind[:, None]
            mask = torch.zeros(hide.shape, dtype=q.dtype, device=q.device).masked_fill_(hide, -math.inf)
        # the queries of all rows as positions of one sequence: the prefix's keys are read once
        line = q.transpose(0, 1).reshape(1, heads, b * r, d)
        out, lse = flash(line, keys, values, scale, None if mask is None else mask[None, None])
        if blind is not None:
            lse = lse.masked_fill(blind, -math.inf)  # weight 0 when the parts are merged
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
        self.extend(1)
        at = self._after
        self._after = at + 1
        return (at + self.start)[:, None]

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None) -> Tensor:
        """q (B, heads, 1, D); k, v (B, kv_heads, 1, D) -> (B, heads, 1, D); see `Layout`."""
        self.keys[layer][:, :, self.end - 1] = k[:, :, 0]
        self.values[layer][:, :, self.end - 1] = v[:, :, 0]
        grouped = group(q, k.shape[1])  # (B, kv_heads, R, D) with R = heads / kv_heads
        first = 0 if window is None else self.end - window
        if self.prefix is None:
            return self._mix(layer, self._scores(layer, grouped, scale, first), grouped).reshape(q.shape)
        own = self.own(layer, grouped, scale, first)
        after = (self._after - 1)[:, None].expand(-1, grouped.shape[2])  # (B, R)
        shared = self.shared(layer, grouped, scale, window, after)
        return (own if shared is None else merge(shared, own))[0].reshape(q.shape)

    def whole(self, ids: Tensor) -> Whole:
        """Each row up to its new token, ids (B, 1); see `Layout`."""
        self.keys[0][:, 0, self.end - 1] = ids
        tokens, lengths = self.tokens()
        row = torch.arange(len(tokens), device=ids.device)
        return Whole(tokens, lengths, row, torch.tensor(lengths, device=ids.device) - 1)


def group(q: Tensor, kv_heads: int) -> Tensor:
    """Queries (B, heads, T, D) as (B, kv_heads, heads / kv_heads * T, D): a group's heads as positions."""
    b, _, _, d = q.shape
    return q.reshape(b, kv_heads, -1, d)


def _columns(lengths: Sequence[int], chosen: Sequence[int], lead: int = 0) -> Tensor:
    """Places (rows, width) in a pack of the chosen segments, aligned at the right; 0 left of them.

    The pack comes after `lead` tokens that stand before each segment.
    """
    ends = torch.tensor(lengths).cumsum(0)  # (segments,) place after each segment
    sizes = torch.tensor([lengths[j] for j in chosen])  # (rows,)
    back = torch.arange(int(sizes.max()) + lead, 0, -1)  # (width,) from each column to the end
    own = lead + ends[list(chosen)][:, None] - back  # (rows, width) places of a segment's own tokens
    return torch.where(back > sizes[:, None], lead + sizes[:, None] - back, own).clamp_(min=0)


def _gather(front: Tensor | None, pack: Tensor, at: Tensor) -> Tensor:
    """Rows (rows, heads, w, D) of the tokens at places `at` (rows, w) in (1, heads, T, D), after `front`."""
    whole = pack if front is None else torch.cat([front, pack], 2)
    return whole[0][:, at].transpose(0, 1)  # (heads, rows, w, D) -> (rows, heads, w, D)


def _right_aligned(parts: Sequence[Tensor], width: int, capacity: int) -> Tensor:
    """Parts (rows, heads, w, D) below each other, (rows, heads, capacity, D), ending at column `width`.

    The rest is 0.
    """
    _, heads, _, size = parts[0].shape
    buffer = parts[0].new_zeros((sum(len(part) for part in parts), heads, capacity, size))
    at = 0
    for part in parts:
        buffer[at : at + len(part), :, width - part.shape[2] : width] = part
        at += len(part)
    return buffer
