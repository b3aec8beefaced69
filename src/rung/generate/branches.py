"""The choices of label scoring as a tree below every prompt, read as much of it as is asked for.

Tokens that several choices begin with are one node. A node sees the prefix that all prompts share, the rest
of its prompt, its ancestors and itself. `Branches` keeps the keys and values of nodes already read as further
columns of their rows, so a node is never read twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from rung.bases.base import Base
from rung.compute.attention import Packed, Prefix, Whole, merge
from rung.compute.body import hidden_states
from rung.compute.head import target_logits
from rung.compute.passes import Pass
from rung.errors import UsageError
from rung.generate.cache import PASS_TOKENS, Ids, Rows, group, prefill
from rung.generate.checks import check_finite

HEAD_ROWS = 256  # rows of logits at a time
Pack = tuple[Packed, Sequence[int]]  # prompts that were read together, and which of them are meant
Numbers = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Tree:
    """The choices as a tree below a prompt; node 0 is the prompt's last token.

    The model reads the N inner nodes: `tokens` (N,), their `depth` (N,) below the prompt's last token, and
    who sees whom, `seen` (N, N). An edge leads from `source` (node 0..N) to token `target`; choice c is the
    edges ``paths[c]``.
    """

    tokens: Tensor
    depth: Tensor
    seen: Tensor
    source: Tensor
    target: Tensor
    paths: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, choices: Sequence[Ids]) -> Tree:
        """Raises `UsageError` where a choice has no tokens."""
        nodes: dict[Ids, int] = {(): 0}
        edges: dict[tuple[int, int], int] = {}
        paths = []
        for i, choice in enumerate(choices, start=1):
            if not choice:
                raise UsageError(f"choice {i} of {len(choices)} has no tokens", fix="Leave it out")
            path = []
            for t, token in enumerate(choice):
                source = nodes.setdefault(tuple(choice[:t]), len(nodes))
                path.append(edges.setdefault((source, token), len(edges)))
            paths.append(tuple(path))
        inner = list(nodes)[1:]
        seen = torch.zeros(
            len(inner), len(inner), dtype=torch.bool
        )  # (N, N): row sees column, itself included
        for i, node in enumerate(inner):
            seen[i, [nodes[node[:t]] - 1 for t in range(1, len(node) + 1)]] = True
        return cls(
            tokens=torch.tensor([node[-1] for node in inner], dtype=torch.long),
            depth=torch.tensor([len(node) for node in inner], dtype=torch.long),
            seen=seen,
            source=torch.tensor([source for source, _ in edges], dtype=torch.long),
            target=torch.tensor([token for _, token in edges], dtype=torch.long),
            paths=tuple(paths),
        )


class Branches(Rows):
    """Rows with a tree below each: the layout of a pass over any nodes whose ancestors have been read.

    Node columns follow the row's own tokens: the last S columns in use, whose nodes are `held` (B, S), 0 for
    a column that a row leaves empty.
    """

    def __init__(self, base: Base, tree: Tree, prefix: Prefix | None, room: int) -> None:
        """`room`: free node columns that are made at a time."""
        super().__init__(prefix)
        self.base = base
        self.room = room
        device = base.device
        self._tokens = pad(tree.tokens, (1, 0)).to(device)  # (1 + N,), indexed by node like the next two
        self._depth = pad(tree.depth, (1, 0)).to(device)  # (1 + N,)
        self._seen = pad(tree.seen, (1, 0, 1, 0)).to(device)  # (1 + N, 1 + N)
        self.held = torch.zeros(0, 0, dtype=torch.long, device=device)
        self._asked = self.held  # (B, R) nodes of this pass, 0 for none
        self._place = self.held  # (T,) place of each token of this pass in B * R
        self._after = self.held  # (B, R) own tokens between the prefix and each node
        self._masks: dict[int | None, Tensor] = {}  # of this pass, by window

    def begin(self, packs: Sequence[Pack]) -> None:
        """The rows are prompts that were read after the prefix."""
        self.change((), packs, room=self.room)
        self.held = self.held.new_zeros(len(self.lengths), 0)

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all rows but these; they are numbered in this order from now on."""
        self.change(rows, room=self.room)
        self.held = self.held[list(rows)]

    def read(self, rows: Numbers, nodes: Numbers) -> Tensor:
        """Hidden states (T, d) of nodes (T,) below rows (T,), which ascend."""
        first = np.searchsorted(rows, rows)  # (T,) where the row of each begins
        row = torch.from_numpy(rows).to(self.held.device)
        at = torch.from_numpy(np.arange(len(rows)) - first).to(row.device)  # among the nodes of its row
        width = int(at.max()) + 1
        lengths = torch.tensor(self.lengths, device=row.device) - self.held.shape[1]  # own tokens (B,)
        self.extend(width, self.room)
        self._asked = self.held.new_zeros(len(self.lengths), width)
        self._asked[row, at] = torch.from_numpy(nodes).to(row.device)
        self.held = torch.cat([self.held, self._asked], 1)
        self._place = row * width + at  # (T,)
        self._after = lengths[:, None] - 1 + self._depth[self._asked]  # (B, R)
        self._masks = {}
        tokens = self._tokens[self._asked[row, at]][None]  # (1, T)
        return hidden_states(self.base.model, Pass(tokens, (self._after[row, at] + self.start)[None], self))

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None) -> Tensor:
        """q (1, heads, T, D); k, v (1, kv_heads, T, D) -> (1, heads, T, D); see `Layout`."""
        _, heads, tokens, size = q.shape
        b, r = self._asked.shape
        row, column = self._place // r, self.end - r + self._place % r  # (T,) each
        self.keys[layer][row, :, column] = k[0].transpose(0, 1)  # (T, kv_heads, D)
        self.values[layer][row, :, column] = v[0].transpose(0, 1)
        if tokens == b * r:
            wide = q[0].transpose(0, 1)  # (B * R, heads, D)
        else:  # rows with fewer nodes get queries of zeros, which are not read
            wide = q.new_zeros(b * r, heads, size).index_copy_(0, self._place, q[0].transpose(0, 1))
        grouped = group(wide.view(b, r, heads, size).transpose(1, 2), k.shape[1])  # (B, kv_heads, g R, D)
        if window not in self._masks:
            self._masks[window] = self._mask(window, q.dtype).repeat(1, 1, heads // k.shape[1], 1)
        part = self.own(layer, grouped, scale, extra=self._masks[window])
        shared = self.shared(layer, grouped, scale, window, self._after.repeat(1, heads // k.shape[1]))
        out = (part if shared is None else merge(part, shared))[0]  # (B, kv_heads, g R, D)
        out = out.reshape(b, heads, r, size).transpose(1, 2).reshape(b * r, heads, size)
        return (out if tokens == b * r else out[self._place]).transpose(0, 1)[None]  # (1, heads, T, D)

    def whole(self, ids: Tensor) -> Whole:
        """Each row down to every node of this pass that no other lies below; see `Layout`."""
        b, r = self._asked.shape
        depth = self._depth[self._asked]  # (B, R), 0 for no node
        below = self._seen[self._asked[:, None, :], self._asked[:, :, None]]  # [b, i, j]: j is i or below it
        lowest = (below * depth[:, None, :]).argmax(-1)  # (B, R) the place in R of the deepest of these
        ends, back = torch.unique(
            (torch.arange(b, device=ids.device)[:, None] * r + lowest).flatten()[self._place],
            return_inverse=True,
        )  # (E,) places in B * R, and for each token of this pass which of these
        row, end = ends // r, self._asked.flatten()[ends]  # (E,)
        tokens, lengths = self.tokens(self.held.shape[1])
        front = torch.tensor(lengths, device=ids.device)[row]  # (E,) tokens above the tree
        rows = pad(tokens[row], (0, int(depth.max())))
        which, node = self._seen[end].nonzero(as_tuple=True)  # every node on the way to each end
        rows[which, front[which] + self._depth[node] - 1] = self._tokens[node]
        full = (front + self._depth[end]).tolist()
        return Whole(rows, full, back, front[back] + depth.flatten()[self._place] - 1)

    def _mask(self, window: int | None, dtype: torch.dtype) -> Tensor:
        """Additive mask (B, 1, R, columns) of what the nodes of this pass see of their rows."""
        depth = self._depth[self._asked][:, :, None]  # (B, R, 1)
        own = self.end - self.held.shape[1]
        nodes = self._seen[self._asked[:, :, None], self.held[:, None]]  # (B, R, S)
        tail = nodes.new_ones(*self._asked.shape, own)  # (B, R, own): every node sees its whole row
        if window is not None:
            nodes &= depth - self._depth[self.held][:, None] < window
            back = torch.arange(own, 0, -1, device=depth.device)  # from each own token to a node of depth 1
            tail &= depth - 1 + back < window
        free = self.keys[0].shape[2] - self.end
        seen = pad(torch.cat([tail, nodes], 2), (0, free))  # (B, R, own + S + free columns)
        mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -math.inf)
        return mask[:, None]


def read_prompts(base: Base, tails: Sequence[Ids], prefix: Prefix | None) -> tuple[list[Pack], Tensor]:
    """Read what follows the prefix: the packs, and the hidden states (B, d) of nodes 0, the last tokens."""
    packs: list[Pack] = []
    roots = []
    for packed, states in prefill(base, tails, prefix):
        packs.append((packed, range(len(packed.lengths))))
        roots.append(states)
    return packs, torch.cat(roots)  # of every pass (segments, d) -> (B, d)


def edge_logs(
    base: Base, tree: Tree, prefix: Prefix | None, packs: Sequence[Pack], roots: Tensor
) -> NDArray[np.float64]:
    """Log-probabilities (B, edges) of all edges below prompts that were read, as `read_prompts` gives them.

    Every pass reads the whole tree below as many of them as make about `PASS_TOKENS` tokens.
    """
    n, found = len(tree.tokens), []
    step = max(1, PASS_TOKENS // (n + 1))
    for at in range(0, len(roots), step):
        states = roots[at : at + step, None]  # (b, 1, d)
        b = len(states)
        if n:
            branches = Branches(base, tree, prefix, n)
            branches.begin(_rows_of(packs, at, at + b))
            below = branches.read(np.repeat(np.arange(b), n), np.tile(np.arange(1, n + 1), b))
            states = torch.cat([states, below.view(b, n, -1)], 1)  # (b, 1 + N, d)
        source = (torch.arange(b)[:, None] * (n + 1) + tree.source).flatten()  # (b * edges,) rows of states
        logs = log_probabilities(base, states.flatten(0, 1), source, tree.target.repeat(b))
        found.append(logs.reshape(b, -1))
    return np.concatenate(found)


def _rows_of(packs: Sequence[Pack], first: int, end: int) -> list[Pack]:
    """Of the rows of `packs`, those from number `first` up to `end`."""
    found, start = [], 0
    for packed, chosen in packs:
        if some := chosen[max(0, first - start) : max(0, end - start)]:
            found.append((packed, some))
        start += len(chosen)
    return found


def path_sums(tree: Tree, logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-probabilities (B, choices) from those of the edges, `logs` (B, edges)."""
    edges = logs.T  # (edges, B)
    return np.stack([edges[list(path)].sum(0) for path in tree.paths], axis=1)


def log_probabilities(base: Base, states: Tensor, source: Tensor, target: Tensor) -> NDArray[np.float64]:
    """Log-probability (E,), in nats and at most 0, of each token `target` (E,) after ``states[source]``.

    `states` (T, d) go through the head in pieces. Raises `RungError` where a logit is not finite.
    """
    found = np.empty(len(source))
    source = source.to(states.device)
    target = target.to(states.device)
    for at in range(0, len(states), HEAD_ROWS):
        logits = target_logits(base.model, states[at : at + HEAD_ROWS])  # (rows, vocabulary)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        whole = logits.logsumexp(-1)  # (rows,)
        check_finite(base, whole)
        here = ((source >= at) & (source < at + HEAD_ROWS)).nonzero()[:, 0]  # edges from these rows
        row = source[here] - at
        wanted = (logits[row, target[here]] - whole[row]).clamp_(max=0.0)  # rounding could exceed 0
        found[here.cpu().numpy()] = wanted.double().cpu().numpy()
    return found
