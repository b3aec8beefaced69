"""The best choice without scoring them all: exact best-first search over the tree of choices.

A log-probability is at most 0, so what a choice has after some of its tokens, times its factor (which is
positive) and plus its correction, is the most it can reach:

    bound[k, i, c] = correction[k, c] + factor[k, c] * sum over its known tokens t of
                     log p(choice_c[t] | prompt_i, choice_c[:t])

Every row next reads the nodes that its highest bounds wait for, until no bound exceeds its best finished
choice. All rows of a batch do so together, one pass after another (A* with the bound 0 for what is left;
Hart, Nilsson and Raphael 1968).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rung.bases.base import Base
from rung.generate.branches import Branches, Numbers, Tree, log_probabilities, path_sums

ROOM = 32  # columns for nodes made at a time
# A pass costs as much as about 50 nodes besides its nodes. So it reads FULL of them where that takes at most
# MOST below a row: the further down the list of bounds, the more often a node is read that cannot win.
FULL, MOST = 512, 16


def search(
    branches: Branches,
    tree: Tree,
    roots: Tensor,
    corrections: NDArray[np.float64],
    factors: NDArray[np.float64],
    on_finished: Callable[[int], None],
) -> Frontier:
    """Find the best choice of each row of `branches` under each of K rules; what is known at the end.

    A rule is a row of `corrections` and of `factors`, both (K, choices); `roots` (B, d) are the hidden states
    of the nodes 0.  `on_finished` is called with the number of rows that are done.
    """
    count = len(roots)
    frontier = Frontier(tree, corrections, factors, count)
    rows, nodes, states = np.arange(count), np.zeros(count, dtype=np.intp), roots
    kept = rows  # rows still in `branches`
    while True:
        frontier.learn(rows, nodes, *_edges(branches.base, tree, states, nodes))
        rows, nodes = frontier.open()
        live = np.unique(rows)
        on_finished(count - len(live))
        if not len(live):
            return frontier
        if 2 * len(live) <= len(kept):
            branches.keep(np.searchsorted(kept, live).tolist())
            kept = live
        states = branches.read(np.searchsorted(kept, rows), nodes)


def _edges(
    base: Base, tree: Tree, states: Tensor, nodes: Numbers
) -> tuple[Numbers, Numbers, NDArray[np.float64]]:
    """The edges that leave `nodes` (T,): for each its place in T, its number, its log-probability."""
    at, edges = (nodes[:, None] == tree.source.numpy()).nonzero()
    return at, edges, log_probabilities(base, states, torch.from_numpy(at), tree.target[edges])


class Frontier:
    """What is known of every choice of every row, and which nodes are worth opening.

    `total` (B, C) is the log-probability of the first `depth` (B, C) tokens of each choice.
    """

    def __init__(
        self, tree: Tree, corrections: NDArray[np.float64], factors: NDArray[np.float64], rows: int
    ) -> None:
        lengths = np.array([len(path) for path in tree.paths])
        source = tree.source.numpy()
        self._edge = np.full((len(lengths), lengths.max() + 1), -1)  # (C, longest + 1) edges of each choice
        self._node = np.full_like(self._edge, -1)  # the nodes these leave; -1 at the end
        for c, path in enumerate(tree.paths):
            self._edge[c, : len(path)] = path
            self._node[c, : len(path)] = source[list(path)]
        self._tree = tree
        self._nodes = len(tree.tokens) + 1
        self._order = np.arange(len(lengths))
        self.corrections = corrections[:, None]  # (K, 1, C)
        self.factors = factors[:, None]  # (K, 1, C)
        self.total = np.zeros((rows, len(lengths)))
        self.depth = np.zeros((rows, len(lengths)), dtype=np.intp)
        self.logs = np.full((rows, len(source)), np.nan)  # (B, edges) of the edges that are known

    def learn(
        self, rows: Numbers, nodes: Numbers, at: Numbers, edges: Numbers, logs: NDArray[np.float64]
    ) -> None:
        """Take in that nodes (T,) below rows (T,) were read.

        Edge ``edges[e]``, which leaves the node ``at[e]`` of these, has the log-probability ``logs[e]``.
        """
        self.logs[rows[at], edges] = logs
        read = np.zeros((len(self.total), self._nodes + 1), dtype=bool)  # the last is the end's, -1
        read[rows, nodes] = True
        row = np.arange(len(self.total))[:, None]
        moves = read[row, self._node[self._order, self.depth]]  # (B, C): the node it waits for was read
        self.total += np.where(moves, self.logs[row, self._edge[self._order, self.depth]], 0.0)
        self.depth += moves

    def open(self) -> tuple[Numbers, Numbers]:
        """Rows (T,), ascending, and a node (T,) of each that must be read; none where all is decided.

        The node of the highest bound under each rule, and the next ones, as `FULL` and `MOST` say.
        """
        node = self._node[self._order, self.depth]  # (B, C)
        done = node < 0  # (B, C)
        value = self.total * self.factors + self.corrections  # (K, B, C)
        finished = np.where(done, value, -np.inf)
        best = finished.argmax(-1)[..., None]  # (K, B, 1)
        most = np.take_along_axis(finished, best, -1)  # (K, B, 1)
        live = ~done & ((value > most) | ((value == most) & (self._order < best)))
        chosen = np.zeros((len(node), self._nodes), dtype=bool)  # (B, 1 + N)
        rows = np.arange(len(node))
        share = FULL // max(1, int(live.any((0, 2)).sum()))  # of each row that is not decided
        for _ in range(min(max(1, share), MOST)):
            bound = np.where(live, value, -np.inf)  # (K, B, C)
            for k, top in enumerate(bound.argmax(-1)):
                wanted = live[k, rows, top]  # (B,) whether the row still has a choice to read
                opened = node[rows, top]  # (B,)
                chosen[rows[wanted], opened[wanted]] = True
                live[k] &= node != opened[:, None]
        row, read = chosen.nonzero()
        return row, read

    def best(self) -> Numbers:
        """The first best finished choice of each row under each rule, (K, B)."""
        done = self._node[self._order, self.depth] < 0
        value = self.total * self.factors + self.corrections  # (K, B, C)
        return np.asarray(np.where(done, value, -np.inf).argmax(-1))

    def scores(self, logs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log-probabilities (B, choices), from those of all edges, `logs` (B, edges), where none is known.

        What is known is kept, so that rounding makes no choice better than the search found it could be.
        """
        found = path_sums(self._tree, np.where(np.isnan(self.logs), logs, self.logs))
        return np.where(self._node[self._order, self.depth] < 0, self.total, found)
