"""Rows with common beginnings as a prefix tree: what rows share is computed once, forward and backward.

The nodes of the tree (`rung.data.prefix`) lie in one row of T tokens in breadth-first order, so the children
of a node are neighbours and their attention to what is above them is one product (`rung.compute.blocks`).

Three rows, `Q: a dog`, `Q: a cat` and `Q: b`, become five nodes and a pass of T = 6 tokens:

    place      0 1 | 2 | 3 | 4   | 5
    token      Q : | a | b | dog | cat
    position   0 1 | 2 | 2 | 3   | 3

(if so short a run were shared at all; see `SHORTEST`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils.rnn import pad_sequence

from rung.compute.attention import Prefix, Whole, causal_mask
from rung.compute.blocks import Blocks
from rung.compute.lead import NONE, Lead
from rung.data.prefix import SHORTEST, Node, nodes_of


class Tree:
    """Layout of a pass over the prefix tree of `rows` of token ids; see `rung.compute.attention.Layout`.

    `ids` and `positions` are the tokens of the pass and their positions; the token of row r at i is at
    ``places(r)[i]``. The first `before` tokens of each row have no places, and `prefix` comes before them.
    """

    def __init__(
        self,
        rows: Sequence[Sequence[int]],
        nodes: Sequence[Node],
        before: int = 0,
        prefix: Prefix | None = None,
    ) -> None:
        self.nodes = list(nodes)
        self.before = before
        self.prefix = prefix
        self.start = prefix.length if prefix else 0
        self.ids = list(chain.from_iterable(rows[n.rows[0]][n.depth : n.depth + n.length] for n in nodes))
        self.positions = [self.start + n.depth + i for n in nodes for i in range(n.length)]
        self._paths: list[list[Node]] = [[] for _ in rows]
        for node in nodes:
            for row in node.rows:
                self._paths[row].append(node)
        self.longest = max(map(len, rows))
        self._blocks = Blocks([node.length for node in nodes], [node.parent for node in nodes])

    def places(self, row: int) -> list[int]:
        """Place in the pass of every token of a row."""
        return self._every_place(row)[self.before :]

    def _every_place(self, row: int) -> list[int]:
        """With those of the tokens before the row's own."""
        return [place for node in self._paths[row] for place in range(node.start, node.start + node.length)]

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None) -> Tensor:
        past = (self.prefix.keys[layer], self.prefix.values[layer]) if self.prefix else None
        if window is not None and self.start + self.longest > window:
            return self._windowed(q, k, v, scale, window, past)
        return self._blocks.attend(q, k, v, scale, past)

    def whole(self, ids: Tensor) -> Whole:
        """The path to each node that no other follows; see `Layout`.

        Raises ValueError with a prefix: whole rows have no place for keys.
        """
        if self.prefix:
            raise ValueError("keys and values before a row cannot be computed by a model's own code")
        followed = {node.parent for node in self.nodes}
        ends = [i for i in range(len(self.nodes)) if i not in followed]
        row, at = [0] * len(self.ids), [0] * len(self.ids)
        rows = []
        for number, end in enumerate(ends):
            path = [end]
            while (above := self.nodes[path[-1]].parent) >= 0:
                path.append(above)
            spans = [(self.nodes[i].start, self.nodes[i].length) for i in reversed(path)]
            places = [place for start, length in spans for place in range(start, start + length)]
            for i, place in enumerate(places):
                row[place], at[place] = number, i
            rows.append(ids[0, torch.tensor(places, device=ids.device)])
        found = (torch.tensor(x, device=ids.device) for x in (row, at))
        return Whole(pad_sequence(rows, batch_first=True), list(map(len, rows)), *found)

    def _windowed(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        scale: float,
        window: int,
        past: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        """Row by row with a mask; of a shared token, the first row's is kept."""
        outs = []
        back = [-1] * len(self.ids)  # for each of the T places, its token among the rows put end to end
        at = 0
        for row in range(len(self._paths)):
            places = self._every_place(row)
            index = torch.tensor(places, device=q.device)
            a, b, c = (x.index_select(2, index) for x in (q, k, v))  # (1, heads or kv_heads, n, D) of a row
            if past is not None:
                b, c = torch.cat([past[0], b], 2), torch.cat([past[1], c], 2)
            mask = causal_mask(len(places), self.start, window, q.device)
            outs.append(scaled_dot_product_attention(a, b, c, attn_mask=mask, scale=scale, enable_gqa=True))
            for i, place in enumerate(places):
                if back[place] < 0:
                    back[place] = at + i
            at += len(places)
        # (1, heads, sum of n, D) -> (1, heads, T, D)
        return torch.cat(outs, 2).index_select(2, torch.tensor(back, device=q.device))


def build(rows: Sequence[Sequence[int]], shortest: int = SHORTEST, lead: Lead = NONE) -> Tree:
    """The tree of `rows`, none empty, each after `lead`; see `rung.data.prefix.nodes_of`."""
    ids = [(*lead.ids, *row) for row in rows]
    return Tree(ids, nodes_of(ids, shortest), len(lead.ids), lead.prefix() if lead.prefix else None)
