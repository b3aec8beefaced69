"""Attention over the nodes of a tree of tokens, by batched matrix products.

A row of T tokens is cut into nodes; a token sees its node up to itself and all tokens of the path above it.
Every query has at most two softmax parts, joined exactly by their log-sum-exps (`rung.compute.attention`):

    own     its node, causal, after the path where that is short: nodes of similar size are one batch, and
            each gets a copy of the path's keys
    shared  a longer path, unmasked: neighbours with one parent are one product, and share its keys

The query heads of one key head are stacked as rows, so keys are never copied for them. The backward pass
computes the probabilities again, each part from the joined log-sum-exp l (FlashAttention, Dao et al. 2022):

    P = exp(scale q k^T - l)    dV = P^T dO    dS = P * (dO V^T - rowsum(dO * O))    dQ = scale dS K

Every product and exponential is in the tensors' own format. What is subtracted from a product is a column of
it (`_with_column`): the difference is then formed inside the product, in fp32, and only the result is
rounded, so that a probability exp(s - l) is as exact as its logarithm is small.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from rung.compute.batches import SCORES, Batch, Span, Tables, tables

_NEVER = 3e4  # a log-sum-exp of which every probability is 0


class Blocks:
    """The plan of one pass; makes its index tables once and serves every layer.

    Node i has ``lengths[i]`` tokens, after those of node i - 1, and follows node ``parents[i]`` (-1: none).
    With cached keys and values, given to `attend`, these come before every node.
    """

    def __init__(self, lengths: Sequence[int], parents: Sequence[int]) -> None:
        ends = list(accumulate(lengths))
        self._spans: list[Span] = [(end - n, end) for end, n in zip(ends, lengths, strict=True)]
        self._parents = list(parents)
        self._tables: dict[tuple[Any, ...], Tables] = {}

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, scale: float, past: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """q (1, heads, T, D), k, v (1, kv_heads, T, D) -> out (1, heads, T, D), a view of (T, heads, D).

        `past`: keys and values (1, kv_heads, P, D) before every node.
        """
        before = past or (None, None)
        out: Tensor = _Attention.apply(q, k, v, *before, self, scale)  # type: ignore[no-untyped-call]
        return out

    def tables(self, heads: int, kv_heads: int, past: int, device: torch.device) -> Tables:
        """Index tables for these head counts and `past` cached tokens."""
        key = heads, kv_heads, past, device
        if key not in self._tables:
            self._tables[key] = tables(self._spans, self._parents, *key)
        return self._tables[key]


class _Heads:
    """q, k and v of one layer as rows (token, head), and how blocks of them are cut out."""

    def __init__(
        self, q: Tensor, k: Tensor, v: Tensor, past_k: Tensor | None, past_v: Tensor | None, blocks: Blocks
    ) -> None:
        past = 0 if past_k is None else past_k.shape[2]
        self.q = q[0].transpose(0, 1)  # (T, heads, D)
        self.k, self.v = (
            torch.cat([*([] if before is None else [before[0].transpose(0, 1)]), x[0].transpose(0, 1)])
            for x, before in ((k, past_k), (v, past_v))
        )  # (past + T, kv_heads, D)
        self.past = past
        self.kv_heads = k.shape[1]
        self.tables = blocks.tables(q.shape[1], self.kv_heads, past, q.device)

    def stack(self, rows: Tensor) -> Tensor:
        """(r, heads, D) -> (kv_heads, stacked, D)."""
        r, _, d = rows.shape
        split = rows.reshape(r, self.kv_heads, -1, d)
        return split.permute(1, 2, 0, 3).reshape(self.kv_heads, -1, d)

    def unstack(self, stacked: Tensor, r: int) -> Tensor:
        """(kv_heads, stacked, D) -> (r, heads, D)."""
        d = stacked.shape[-1]
        return stacked.view(self.kv_heads, -1, r, d).permute(2, 0, 1, 3).reshape(r, -1, d)

    def shared(self, *rows: Tensor) -> Iterator[tuple[list[Span], list[Tensor], list[slice]]]:
        """For each shared path: it, that part (kv_heads, m, D) of the key rows, and slices of its queries."""
        for (start, stop), path in self.tables.shared:
            parts = [torch.cat([x[a:b] for a, b in path]).transpose(0, 1).contiguous() for x in rows]
            step = max(1, SCORES // (self.q.shape[1] * parts[0].shape[1]))
            yield path, parts, [slice(a, min(a + step, stop)) for a in range(start, stop, step)]


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
        wide = torch.promote_types(q.dtype, torch.float32)
        # (T, heads, D + 1) and (past + T, kv_heads, D + 1)
        queries, keys = _with_column(x.q * scale, 0), _with_column(x.k, 1)
        outs, sums = [], []  # of each batch: (B * kv_heads * group * n, D) and (..., 1)
        for batch in x.tables.batches:
            part, lse = _part(
                _pick(queries, batch.queries, batch),
                _pick(keys, batch.keys, batch),
                _pick(x.v, batch.keys, batch),
                wide,
                batch,
            )
            outs.append(part.flatten(0, 1))
            sums.append(lse.flatten(0, 1))
        out, lse = (
            torch.cat(parts).index_select(0, x.tables.queries_back).view(*x.q.shape[:2], -1)
            for parts in (outs, sums)
        )  # (T, heads, D) and (T, heads, 1)
        for _, (path_k, path_v), slices in x.shared(keys, x.v):
            for rows in slices:
                r = rows.stop - rows.start
                # part (r, heads, D) and its log-sum-exp `more` (r, heads, 1), joined with the part before
                part, more = (x.unstack(y, r) for y in _part(x.stack(queries[rows]), path_k, path_v, wide))
                out[rows].lerp_(part, torch.sigmoid(more - lse[rows]))
                lse[rows] = torch.logaddexp(lse[rows], more)
        out = out.to(q.dtype)
        ctx.save_for_backward(q, k, v, past_k, past_v, out, lse)
        ctx.blocks, ctx.scale = blocks, scale
        return out.transpose(0, 1)[None]  # (T, heads, D) -> (1, heads, T, D)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, past_k, past_v, out, lse = ctx.saved_tensors
        x, scale = _Heads(q, k, v, past_k, past_v, ctx.blocks), ctx.scale
        size, tables = q.shape[-1], x.tables
        grad = grads[0][0].transpose(0, 1)  # (1, heads, T, D) -> (T, heads, D)
        delta = (grad * out).sum(-1, keepdim=True, dtype=lse.dtype)  # (T, heads, 1)
        # with c = 1 or 2 columns more: padded (T + 1, heads, D + c), grad (T, heads, D + c)
        padded, grad = _less(x.q * scale, lse, spare=1), _less(grad, delta)
        queries, ones = padded[:-1], padded.shape[-1] - size
        keys, values = _with_column(x.k, *[1] * ones), _with_column(x.v, *[1] * ones)
        # Padding gets a log-sum-exp so large that its probabilities are 0: it gives no gradient.
        padded[-1] = 0
        padded[-1, :, size] = -_NEVER
        parts = []
        for batch in tables.batches:
            a, g = _pick(padded, batch.real, batch), _pick(grad, batch.queries, batch)
            b, c = _pick(keys, batch.keys, batch), _pick(values, batch.keys, batch)
            found = _gradients(a, b, c, g, _pick(x.k, batch.keys, batch), batch)
            parts.append([part.flatten(0, 1) for part in found])
        dq, dk, dv = (torch.cat(list(one)) for one in zip(*parts, strict=True))  # rows of all batches
        dq = dq.index_select(0, tables.queries_back).view(x.q.shape)  # (T, heads, D)
        # copies summed: (past + T, kv_heads, D), without the extra columns
        dk, dv = (_gathered(part, tables).view(*x.k.shape[:2], -1)[..., :size] for part in (dk, dv))
        if tables.shared:
            dk, dv = dk.to(lse.dtype), dv.to(lse.dtype)
        for path, (path_k, path_v, plain), slices in x.shared(keys, values, x.k):
            for rows in slices:
                a, g = x.stack(queries[rows]), x.stack(grad[rows])
                part_q, part_k, part_v = _gradients(a, path_k, path_v, g, plain)
                dq[rows] += x.unstack(part_q, rows.stop - rows.start)
                _add(dk, part_k[..., :size], path)
                _add(dv, part_v[..., :size], path)
        dq.mul_(scale)
        # -> (1, heads, T, D), (1, kv_heads, T, D) and (1, kv_heads, P, D)
        dq, dk, dv, past_dk, past_dv = (
            y.to(q.dtype).transpose(0, 1)[None]
            for y in (dq, dk[x.past :], dv[x.past :], dk[: x.past], dv[: x.past])
        )
        wanted = past_k is not None and ctx.needs_input_grad[3]
        return dq, dk, dv, *((past_dk, past_dv) if wanted else (None, None)), None, None


def _pick(rows: Tensor, index: Tensor, batch: Batch) -> Tensor:
    """Rows (tokens, heads, D) -> (B * kv_heads, stacked queries or keys, D) of a batch."""
    picked = rows.reshape(-1, rows.shape[-1]).index_select(0, index)
    return picked.view(batch.shape[0], -1, rows.shape[-1])


def _gathered(parts: Tensor, tables: Tables) -> Tensor:
    """The sums over all copies of each key row (tokens * kv_heads, D); summed in fp32 or wider."""
    copies, starts = tables.bags
    return torch.embedding_bag(parts, copies, starts)[0]


def _part(
    q: Tensor, k: Tensor, v: Tensor, wide: torch.dtype, batch: Batch | None = None
) -> tuple[Tensor, Tensor]:
    """softmax(q k^T) v, and the log-sum-exp of each row, both `wide`; of a batch, where its mask allows it.

    q has an extra last column of zeros, which is overwritten, and k one of ones.
    """
    scores = torch.bmm(q, k.mT).to(wide)  # (B * kv_heads, queries, keys)
    if batch is not None:
        scores += batch.mask
    most = scores.amax(-1, keepdim=True)  # (B * kv_heads, queries, 1)
    if q.dtype == wide:
        e = scores.sub_(most).exp_()
    else:
        q[..., -1:] = -most
        e = torch.bmm(q, k.mT).exp_()
        _cut(e, batch)
    sums = e.sum(-1, keepdim=True, dtype=wide)
    return torch.bmm(e, v) / sums, sums.log().add_(most)


def _gradients(
    q: Tensor, k: Tensor, v: Tensor, grad: Tensor, plain: Tensor, batch: Batch | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """dq, dk, dv of one part; q and grad come from `_less`, `plain` is k.

    k and v have an extra column of ones; dk and dv come with an extra last column that means nothing.
    """
    p = torch.bmm(q, k.mT).exp_()  # (B * kv_heads, queries, keys)
    _cut(p, batch)
    dv = torch.bmm(p.mT, grad)  # (B * kv_heads, keys, D + c)
    ds = p.mul_(torch.bmm(grad, v.mT))
    return torch.bmm(ds, plain), torch.bmm(ds.mT, q), dv


def _cut(scores: Tensor, batch: Batch | None) -> None:
    """Set to 0 what a batch's mask hides."""
    if batch is not None:
        scores.view(-1, *batch.shape[1:]).tril_(batch.before)


def _less(rows: Tensor, x: Tensor, spare: int = 0) -> Tensor:
    """Rows (T, heads, D) with columns that subtract x (T, heads, 1) from a product with `_with_column`.

    In bf16 x becomes the sum of two columns. `spare` more rows are left for the caller to set.
    """
    t, heads, size = rows.shape
    high = x.to(rows.dtype)
    parts = [-x] if rows.dtype == x.dtype else [-high, (high - x).to(rows.dtype)]
    out = rows.new_empty((t + spare, heads, size + len(parts)))
    torch.cat([rows, *parts], -1, out=out[:t])
    return out


def _with_column(rows: Tensor, *columns: float) -> Tensor:
    """Rows (..., D) with one more column for each constant: (..., D + columns)."""
    out = rows.new_empty((*rows.shape[:-1], rows.shape[-1] + len(columns)))
    out[..., : rows.shape[-1]] = rows
    for i, value in enumerate(columns, start=rows.shape[-1]):
        out[..., i] = value
    return out


def _add(rows: Tensor, part: Tensor, path: list[Span]) -> None:
    """Add (kv_heads, m, D) to rows (tokens, kv_heads, D) at the spans of `path`."""
    at = 0
    for start, stop in path:
        rows[start:stop] += part[:, at : at + stop - start].transpose(0, 1)
        at += stop - start
