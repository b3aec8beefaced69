"""The loss of a pack: nats over its target tokens, summed. A prefix that rows share is computed once.

A pass runs over the prefix tree of the rows (`rung.compute.tree`). A target is a pair (place, token): the
hidden state at the place predicts the token. A pair that n rows have is computed once with weight n; a place
whose rows continue differently has a target for each continuation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rung.compute import head
from rung.compute.ends import Below, states_at
from rung.compute.passes import tree_of
from rung.compute.tree import Tree
from rung.data.pack import group
from rung.data.pairs import size
from rung.methods.method import Objective
from rung.records import Rendered


def targets(tree: Tree, rows: Sequence[Rendered]) -> Counter[tuple[int, int]]:
    """How many rows have each target: (the place before it, token) -> count. A first token is no target."""
    return Counter(zip(*learned(tree, rows), strict=True))


def pack_loss(model: PreTrainedModel, rows: Sequence[Rendered], trunk: Below | None = None) -> Tensor:
    """Summed cross-entropy in nats over the target tokens of `rows`, with gradient: a scalar.

    `trunk` holds the outputs of the frozen first layers for these rows.
    """
    ids = [row.ids for row in rows]
    tree = tree_of(model, ids)
    found = targets(tree, rows)  # N different targets
    pairs = torch.tensor(list(found), dtype=torch.long, device=model.device).view(-1, 2)  # (N, 2)
    weights = torch.tensor(list(found.values()), dtype=torch.float32, device=model.device)  # (N,)
    hidden = states_at(model, tree, ids, pairs[:, 0], trunk)  # (N, d)
    return head.loss_sum(model, hidden, pairs[:, 1], weights)


def learned(tree: Tree, rows: Sequence[Rendered], first: int = 0) -> tuple[list[int], list[int]]:
    """The places that predict the learned tokens of `rows`, which are row `first` of the tree and those after
    it, and these tokens, row after row."""
    places: list[int] = []
    tokens: list[int] = []
    for number, row in enumerate(rows, first):
        at = tree.places(number)
        own = [i for i, mask in enumerate(row.mask) if mask and i > 0]
        places += [at[i - 1] for i in own]
        tokens += [row.ids[i] for i in own]
    return places, tokens


def learned_states(
    model: PreTrainedModel, rows: Sequence[Rendered], pack_tokens: int
) -> Iterator[tuple[Sequence[int], list[int], Tensor, Tensor]]:
    """Pass after pass over `rows`: which rows it reads, how many learned tokens each of them has, the states
    (n, d) that predict these, row after row, and the tokens (n,)."""
    ids = [row.ids for row in rows]
    for some in group([len(one) for one in ids], ids, range(len(rows)), pack_tokens):
        part = [rows[i] for i in some]
        own = [ids[i] for i in some]
        tree = tree_of(model, own)
        places, tokens = (
            torch.tensor(one, dtype=torch.long, device=model.device) for one in learned(tree, part)
        )
        states = states_at(model, tree, own, places, None)
        yield some, [count_targets([row]) for row in part], states, tokens


def count_targets(rows: Sequence[Rendered]) -> int:
    """Number of target tokens of `rows`; a first token cannot be predicted, so it is none."""
    return sum(sum(row.mask[1:]) for row in rows)


class NextTokens:
    """The loss of what is written, where a method has no `rung.methods.method.Objective` of its own."""

    def loss(self, model: PreTrainedModel, rows: Sequence[Rendered], below: Below | None = None) -> Tensor:
        return pack_loss(model, rows, below)

    def count(self, rows: Sequence[Rendered]) -> int:
        return count_targets(rows)

    def facts(self) -> dict[str, Any]:
        return {}


NEXT_TOKENS = NextTokens()


@torch.inference_mode()
def mean_loss(
    model: PreTrainedModel,
    rows: Sequence[Rendered],
    pack_tokens: int = 2048,
    trunk: Below | None = None,
    objective: Objective = NEXT_TOKENS,
) -> float:
    """Nats per target over `rows`, each target weighing the same: a token, or what `objective` says."""
    ids = [row.ids for row in rows]
    total = 0.0
    for indices in group([size(row) for row in rows], ids, range(len(rows)), pack_tokens):
        total += float(objective.loss(model, [rows[index] for index in indices], trunk))
    return total / objective.count(rows)


@torch.inference_mode()
def row_losses(model: PreTrainedModel, rows: Sequence[Rendered], pack_tokens: int = 2048) -> list[float]:
    """Nats of each row: its target tokens together."""
    found = [0.0] * len(rows)
    for some, sizes, states, tokens in learned_states(model, rows, pack_tokens):
        nats = head.losses(model, states, tokens)
        for i, own in zip(some, torch.split(nats, sizes), strict=True):
            found[i] = float(own.sum())
    return found
