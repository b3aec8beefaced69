"""Which nodes of a tree of tokens share one attention product, as index tables for `rung.compute.blocks`.

Nodes of similar length whose paths are equally long form a batch: each is padded to n queries and m keys, the
keys of its path before its own. A path that is long compared with the nodes below it is not copied to them:
it is shared, and all of them attend to it at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, groupby

import torch
from torch import Tensor

_COPIES = 2  # copies of a path may have up to this many times the tokens of the nodes below it, ...
_LONGEST_COPY = 512  # ... and the path at most this many tokens
_EVEN = 0.7  # a batch pads its nodes' scores to at most 1 / this of what they need, ...
_SMALL = 16  # ... or its nodes have at most this many tokens
SCORES = 1 << 20  # scores made at once (fp32: 4 MB, stays in the cache)
_STEP = 32  # the keys of a batch are a multiple of this: torch then finds a row's maximum five times as fast

Span = tuple[int, int]


@dataclass(frozen=True)
class _Node:
    """A node's tokens, and the tokens before it whose keys are copied to it, as places in (past, row)."""

    own: Span
    path: tuple[Span, ...]

    @property
    def queries(self) -> int:
        return self.own[1] - self.own[0]

    @property
    def before(self) -> int:
        return sum(stop - start for start, stop in self.path)

    @property
    def keys(self) -> list[int]:
        return list(chain.from_iterable(range(*span) for span in (*self.path, self.own)))


@dataclass(frozen=True)
class Batch:
    """Index tables of B nodes padded to n queries and m keys, into rows (token, head)."""

    before: int  # keys that every query sees
    queries: Tensor  # (B * kv_heads * group * n,)
    keys: Tensor  # (B * kv_heads * m,)
    real: Tensor  # as `queries`; padding points one past the last row
    mask: Tensor  # (group * n, m), 0 or -inf
    shape: tuple[int, int, int]  # B * kv_heads, n, m


@dataclass(frozen=True)
class Tables:
    batches: list[Batch]
    shared: list[tuple[Span, list[Span]]]  # queries, and the path above them that is not copied
    queries_back: Tensor  # (T * heads,): where each row lies in the batches put end to end
    bags: tuple[Tensor, Tensor]  # where the copies of each key row lie, and where its list begins


def tables(
    spans: Sequence[Span], parents: Sequence[int], heads: int, kv_heads: int, past: int, device: torch.device
) -> Tables:
    """Index tables for nodes at `spans` that follow `parents` (-1: none), after `past` cached tokens."""
    nodes, shared = _plan(spans, parents, past)
    tokens = spans[-1][1]
    group = heads // kv_heads
    batches: list[Batch] = []
    back = torch.zeros(tokens * heads, dtype=torch.long)
    bags: list[list[int]] = [[] for _ in range((past + tokens) * kv_heads)]
    at_q = at_k = 0
    for some in _batches(nodes, heads):  # B nodes
        n = max(node.queries for node in some)
        p = some[0].before
        m = math.ceil((p + n) / _STEP) * _STEP
        # (B, n): padding repeats a node's last token
        token = torch.tensor([[min(node.own[0] + i, node.own[1] - 1) for i in range(n)] for node in some])
        head = torch.arange(heads).view(kv_heads, group, 1)
        # (B, 1, 1, n) * heads + (kv_heads, group, 1) -> (B, kv_heads, group, n) -> flat
        queries = ((token - past)[:, None, None] * heads + head).flatten()
        seen = [[i < node.queries for i in range(n)] for node in some]  # (B, n), false for padding
        real = torch.tensor(seen)[:, None, None].expand(-1, kv_heads, group, -1).flatten()  # as `queries`
        back[queries[real]] = at_q + real.nonzero()[:, 0]
        keys: list[int] = []
        for node in some:
            row = node.keys
            for h in range(kv_heads):
                for place in row:
                    bags[place * kv_heads + h].append(at_k + len(keys))
                    keys.append(place * kv_heads + h)
                keys += [row[-1] * kv_heads + h] * (m - len(row))
        at_q, at_k = at_q + len(queries), at_k + len(keys)
        sees = torch.arange(m) <= p + torch.arange(n)[:, None]  # (n, m): the path, then causal
        mask = torch.zeros(n, m).masked_fill_(~sees, -math.inf).repeat(group, 1)  # (group * n, m)
        batches.append(
            Batch(
                before=p,
                queries=queries.to(device),
                keys=torch.tensor(keys, device=device),
                real=torch.where(real, queries, tokens * heads).to(device),
                mask=mask.to(device),
                shape=(len(some) * kv_heads, n, m),
            )
        )
    copies = torch.tensor(list(chain.from_iterable(bags)), device=device)
    starts = torch.tensor([0, *accumulate(map(len, bags))][:-1], device=device)
    return Tables(batches, shared, back.to(device), (copies, starts))


def _plan(
    spans: Sequence[Span], parents: Sequence[int], past: int
) -> tuple[list[_Node], list[tuple[Span, list[Span]]]]:
    """Nodes with the paths that are copied to them, and blocks of queries with the paths that they share."""
    nodes: list[_Node] = []
    shared: list[tuple[Span, list[Span]]] = []
    for parent, run in groupby(range(len(spans)), key=parents.__getitem__):
        those = [(past + start, past + stop) for start, stop in (spans[i] for i in run)]
        path = _path(spans, parents, parent, past)
        before = sum(stop - start for start, stop in path)
        below = those[-1][1] - those[0][0]
        copied = before <= _LONGEST_COPY and before * len(those) <= _COPIES * below
        nodes += [_Node(span, tuple(path) if copied else ()) for span in those]
        if before and not copied:
            shared.append(((those[0][0] - past, those[-1][1] - past), path))
    return nodes, shared


def _path(spans: Sequence[Span], parents: Sequence[int], node: int, past: int) -> list[Span]:
    """Spans of what is cached, the nodes above `node`, and it itself; adjacent ones joined."""
    above: list[Span] = []
    while node >= 0:
        start, stop = spans[node]
        above.append((past + start, past + stop))
        node = parents[node]
    path = [(0, past)] if past else []
    for start, stop in reversed(above):
        if path and path[-1][1] == start:
            path[-1] = (path[-1][0], stop)
        else:
            path.append((start, stop))
    return path


def _batches(nodes: Sequence[_Node], heads: int) -> Iterator[list[_Node]]:
    """Batches of nodes whose paths are equally long, and which have similar lengths themselves."""
    batch: list[_Node] = []
    needed = 0
    for node in sorted(nodes, key=lambda node: (node.before, -node.queries)):
        size = node.queries * (node.before + node.queries)
        if batch:
            first = batch[0]
            padded = (len(batch) + 1) * first.queries * (first.before + first.queries)
            uneven = needed + size < _EVEN * padded and first.queries > _SMALL
            if node.before != first.before or uneven or padded * heads > SCORES:
                yield batch
                batch, needed = [], 0
        batch.append(node)
        needed += size
    yield batch
