"""Attention of runs of tokens that follow each other as a tree does, by batched matrix products.

A row of T tokens is cut into nodes; a token sees its node up to itself and all tokens of the nodes above. So
every query has at most two softmax parts, joined exactly by their log-sum-exps (`rung.bases.attention`):

    own   its node, causal: nodes of similar length are one batch, padded at the end
    far   the whole path above its node, unmasked: neighbours with one parent are one product

The query heads of one key head are stacked as rows, so keys are never copied. The backward pass makes the
probabilities anew, each part from the joined log-sum-exp l (FlashAttention, Dao et al. 2022):

    P = exp(scale q k^T - l)    dV = P^T dO    dS = P * (dO V^T - rowsum(dO * O))    dQ = scale dS K

Every product and exponential is in the tensors' own format; what is subtracted from a product is a column of
it (`_less`), so that bf16 loses no more than where it ends. On CPUs this is faster than torch's flash kernel
for segments of up to about 256 tokens, backward two to three times; at 1,024 tokens they are even.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

LONGEST = 128  # tokens; longer nodes should be cut into chains, or their masked half is computed in vain
_EVEN = 0.75  # a node joins the batch of a longer one if it is at least this part of its length, ...
_SMALL = 16  # ... or if the longer one is no longer than this
_SCORES = 1 << 20  # scores made at once (fp32: 4 MB, stays in the cache)

_NEVER = 3e4  # a log-sum-exp of which every probability is 0

Span = tuple[int, int]


def pieces(length: int) -> list[int]:
    """Cut a run of `length` tokens into nearly even parts of at most `LONGEST`."""
    count = max(1, math.ceil(length / LONGEST))
    return [length * (i + 1) // count - length * i // count for i in range(count)]


@dataclass(frozen=True)
class _Own:
    """Index tables of one batch of B nodes padded to n tokens, into rows (token, head)."""

    shape: tuple[int, int, int]  # B * kv_heads, stacked queries, n
    queries: Tensor  # (B * kv_heads * group * n,)
    keys: Tensor  # (B * kv_heads * n,)
    sums: Tensor  # as `queries`; padding points one past the last row
    mask: Tensor  # (stacked queries, n), 0 or -inf


@dataclass(frozen=True)
class _Tables:
    own: list[_Own]
    queries_back: Tensor  # (T * heads,) where each row lies in the batches laid end to end
    keys_back: Tensor  # (T * kv_heads,)


class Blocks:
    """The plan of one pass; makes its index tables once and serves every layer.

    Node i has ``lengths[i]`` tokens, after those of node i - 1, and follows node ``parents[i]`` (-1: none).
    With cached keys and values, given to `attend`, these come before every node.
    """

    def __init__(self, lengths: Sequence[int], parents: Sequence[int]) -> None:
        ends = list(accumulate(lengths))
        self.tokens = ends[-1]
        self._spans: list[Span] = [(end - n, end) for end, n in zip(ends, lengths, strict=True)]
        self._parents = list(parents)
        self._tables: dict[tuple[int, int, torch.device, torch.dtype], _Tables] = {}
        runs = [list(run) for _, run in groupby(range(len(lengths)), key=lambda i: self._parents[i])]
        self.far = [
            ((self._spans[run[0]][0], self._spans[run[-1]][1]), self._path(self._parents[run[0]]))
            for run in runs
        ]

    def _path(self, node: int) -> list[Span]:
        """Spans of `node` and those above it, from the root down; adjacent ones joined."""
        path: list[Span] = []
        while node >= 0:
            start, stop = self._spans[node]
            if path and stop == path[-1][0]:
                path[-1] = (start, path[-1][1])
            else:
                path.append((start, stop))
            node = self._parents[node]
        return path[::-1]

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, scale: float, past: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """q (1, heads, T, D), k, v (1, kv_heads, T, D) -> out (1, heads, T, D), a view of (T, heads, D).

        `past`: keys and values (1, kv_heads, P, D) before every node; they get no gradient.
        """
        before = past or (None, None)
        out: Tensor = _Attention.apply(q, k, v, *before, self, scale)  # type: ignore[no-untyped-call]
        return out

    def tables(self, heads: int, kv_heads: int, device: torch.device, dtype: torch.dtype) -> _Tables:
        """Index tables for these head counts; `dtype` is that of the scores' mask."""
        key = heads, kv_heads, device, dtype
        if key not in self._tables:
            self._tables[key] = self._make_tables(heads, kv_heads, device, dtype)
        return self._tables[key]

    def _make_tables(self, heads: int, kv_heads: int, device: torch.device, dtype: torch.dtype) -> _Tables:
        own: list[_Own] = []
        back_q = torch.zeros(self.tokens * heads, dtype=torch.long)
        back_k = torch.zeros(self.tokens * kv_heads, dtype=torch.long)
        at_q = at_k = 0
        group = heads // kv_heads
        for spans in self._batches(heads):
            start, stop = torch.tensor(spans).unbind(1)
            n = int((stop - start).max())
            reach = start[:, None] + torch.arange(n)
            token = torch.minimum(reach, stop[:, None] - 1)[:, None]
            keys = token * kv_heads + torch.arange(kv_heads)[:, None]
            queries = token[:, None] * heads + torch.arange(heads).view(kv_heads, group, 1)
            real = (reach < stop[:, None])[:, None]
            sums = torch.where(real[:, None], queries, self.tokens * heads)
            for back, index, seen, at in (
                (back_q, queries, real[:, None], at_q),
                (back_k, keys, real, at_k),
            ):
                seen = seen.expand(index.shape)
                back[index[seen]] = at + seen.flatten().nonzero()[:, 0]
            at_q, at_k = at_q + queries.numel(), at_k + keys.numel()
            mask = torch.full((n, n), -math.inf, dtype=dtype).triu(1).repeat(group, 1)
            shape = (len(spans) * kv_heads, group * n, n)
            queries, keys, sums = (index.flatten().to(device) for index in (queries, keys, sums))
            own.append(_Own(shape, queries, keys, sums, mask.to(device)))
        return _Tables(own, back_q.to(device), back_k.to(device))

    def _batches(self, heads: int) -> Iterator[list[Span]]:
        batch: list[Span] = []
        longest = 0
        for span in sorted(self._spans, key=lambda span: span[0] - span[1]):
            length = span[1] - span[0]
            uneven = length < _EVEN * longest and longest > _SMALL
            if batch and (uneven or (len(batch) + 1) * heads * longest**2 > _SCORES):
                yield batch
                batch = []
            longest = length if not batch else longest
            batch.append(span)
        yield batch


class _Heads:
    """q, k and v of one layer as rows (token, head), and how blocks of them are cut out."""

    def __init__(
        self, q: Tensor, k: Tensor, v: Tensor, past_k: Tensor | None, past_v: Tensor | None, blocks: Blocks
    ) -> None:
        self.q, self.k, self.v = (x[0].transpose(0, 1) for x in (q, k, v))  # (T, heads, D)
        self.past_k, self.past_v = past_k, past_v
        self.blocks = blocks
        self.heads, self.kv_heads = q.shape[1], k.shape[1]
        self.tables = blocks.tables(self.heads, self.kv_heads, q.device, q.dtype)

    def own(self, block: _Own, rows: Tensor, index: Tensor) -> Tensor:
        """Rows (T, heads, D) -> (B * kv_heads, stacked or n, D) of a batch of nodes."""
        picked = rows.reshape(-1, rows.shape[-1]).index_select(0, index)
        return picked.view(block.shape[0], -1, rows.shape[-1])

    def back(self, parts: list[Tensor], index: Tensor) -> Tensor:
        """The other way: what `own` cut, as rows (T, heads, D)."""
        flat = [part.reshape(-1, part.shape[-1]) for part in parts]
        rows = (flat[0] if len(flat) == 1 else torch.cat(flat)).index_select(0, index)
        return rows.view(self.blocks.tokens, -1, rows.shape[-1])

    def stack(self, rows: Tensor) -> Tensor:
        """(r, heads, D) -> (kv_heads, stacked, D)."""
        r, _, d = rows.shape
        split = rows.reshape(r, self.kv_heads, -1, d)
        return split.permute(1, 2, 0, 3).reshape(self.kv_heads, -1, d)

    def unstack(self, stacked: Tensor, r: int) -> Tensor:
        """(kv_heads, stacked, D) -> (r, heads, D)."""
        d = stacked.shape[-1]
        return stacked.view(self.kv_heads, -1, r, d).permute(2, 0, 1, 3).reshape(r, -1, d)

    def far(self) -> Iterator[tuple[list[Span], Tensor, Tensor, list[slice]]]:
        """For each block: its path, the keys and values (kv_heads, m, D) of it, and slices of its queries."""
        for (start, stop), path in self.blocks.far:
            if not path and self.past_k is None:
                continue
            k, v = (
                torch.cat(
                    ([] if past is None else [past[0]]) + [rows[a:b].transpose(0, 1) for a, b in path], 1
                )
                for rows, past in ((self.k, self.past_k), (self.v, self.past_v))
            )
            step = max(1, _SCORES // (self.heads * k.shape[1]))
            yield path, k, v, [slice(a, min(a + step, stop)) for a in range(start, stop, step)]


class _Attention(Function):
    """The formulas at the top of the file."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        past_k: Tensor | None,
        past_v: Tensor | None,
        blocks: Blocks,
        scale: float,
    ) -> Tensor:
        x = _Heads(q, k, v, past_k, past_v, blocks)
        scaled = x.q * scale
        outs, sums = [], []
        for block in x.tables.own:
            a, b, c = x.own(block, scaled, block.queries), *(x.own(block, y, block.keys) for y in (x.k, x.v))
            part, lse = _part(a, b, c, block.mask)
            outs.append(part)
            sums.append(lse)
        out, lse = x.back(outs, x.tables.queries_back), x.back(sums, x.tables.queries_back)
        for _, keys, values, slices in x.far():
            for rows in slices:
                r = rows.stop - rows.start
                part, far = (x.unstack(y, r) for y in _part(x.stack(scaled[rows]), keys, values))
                out[rows].lerp_(part, torch.sigmoid(far - lse[rows]))
                lse[rows] = torch.logaddexp(lse[rows], far)
        out = out.to(q.dtype)
        ctx.save_for_backward(q, k, v, past_k, past_v, out, lse)
        ctx.blocks, ctx.scale = blocks, scale
        return out.transpose(0, 1)[None]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, past_k, past_v, out, lse = ctx.saved_tensors
        x, scale = _Heads(q, k, v, past_k, past_v, ctx.blocks), ctx.scale
        grad = grads[0][0].transpose(0, 1)
        delta = (grad * out).sum(-1, keepdim=True, dtype=lse.dtype)
        scaled, grad = _less(x.q * scale, lse), _less(grad, delta)
        dq, dk, dv = _own_backward(x, scaled, grad)
        dk, dv = dk.to(lse.dtype), dv.to(lse.dtype)
        for path, keys, values, slices in x.far():
            for rows in slices:
                part_q, part_k, part_v = _gradients(x.stack(scaled[rows]), keys, values, x.stack(grad[rows]))
                dq[rows] += x.unstack(part_q, rows.stop - rows.start)
                _add(dk, part_k, path)
                _add(dv, part_v, path)
        dq, dk, dv = (y.to(q.dtype).transpose(0, 1)[None] for y in (dq.mul_(scale), dk, dv))
        return dq, dk, dv, None, None, None, None


def _own_backward(x: _Heads, scaled: Tensor, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    # Padding gets a log-sum-exp so large that its probabilities are 0: it gives no gradient.
    padding = scaled.new_zeros((1, scaled.shape[-1]))
    padding[0, x.q.shape[-1]] = -_NEVER
    scaled = torch.cat([scaled.view(-1, scaled.shape[-1]), padding])
    parts = []
    for block in x.tables.own:
        a, g = x.own(block, scaled, block.sums), x.own(block, grad, block.queries)
        b, c = (x.own(block, y, block.keys) for y in (x.k, x.v))
        parts.append(_gradients(a, b, c, g, causal=True))
    qs, ks, vs = (list(one) for one in zip(*parts, strict=True))
    tables = x.tables
    return x.back(qs, tables.queries_back), x.back(ks, tables.keys_back), x.back(vs, tables.keys_back)


def _part(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """softmax(q k^T + mask) v, and the log-sum-exp of each row, both in fp32 or wider; a mask is causal."""
    scores = torch.bmm(q, k.mT)
    if mask is not None:
        scores += mask
    most = scores.amax(-1, keepdim=True)
    wide = torch.promote_types(q.dtype, torch.float32)
    if q.dtype == wide:
        e = scores.sub_(most).exp_()
    else:
        e = _product(torch.cat([q, -most], -1), k).exp_()
        if mask is not None:
            e.view(-1, k.shape[1], k.shape[1]).tril_()
    sums = e.sum(-1, keepdim=True, dtype=wide)
    return torch.bmm(e, v) / sums, sums.log().add_(most)


def _gradients(
    q: Tensor, k: Tensor, v: Tensor, grad: Tensor, *, causal: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """dq, dk, dv of one part; q and grad come from `_less`, with log-sum-exp and rowsum(dO * O)."""
    d = k.shape[-1]
    p = _product(q, k).exp_()
    if causal:
        p.view(-1, k.shape[1], k.shape[1]).tril_()
    dv = torch.bmm(p.mT, grad[..., :d])
    ds = p.mul_(_product(grad, v))
    return torch.bmm(ds, k), torch.bmm(ds.mT, q[..., :d]), dv


def _less(rows: Tensor, x: Tensor) -> Tensor:
    """Rows (..., D) with columns that make `_product` subtract x (..., 1): in bf16 x as a sum of two.

    The difference is then formed inside the product, in fp32, and only the result is rounded: a probability
    exp(s - l) is as exact as its logarithm is small, where s alone would be rounded at its own size.
    """
    if rows.dtype == x.dtype:
        return torch.cat([rows, -x], -1)
    high = x.to(rows.dtype)
    return torch.cat([rows, -high, (high - x).to(rows.dtype)], -1)


def _product(rows: Tensor, k: Tensor) -> Tensor:
    """rows k^T, less what `_less` put beside the rows."""
    extra = rows.shape[-1] - k.shape[-1]
    return torch.bmm(rows, torch.cat([k, k.new_ones((*k.shape[:2], extra))], -1).mT)


def _add(rows: Tensor, part: Tensor, path: list[Span]) -> None:
    """Add (kv_heads, m, D) to rows (T, kv_heads, D) at the spans of `path`, which end where m ends."""
    at = part.shape[1] - sum(stop - start for start, stop in path)  # cached keys come first
    for start, stop in path:
        rows[start:stop] += part[:, at : at + stop - start].transpose(0, 1)
        at += stop - start
