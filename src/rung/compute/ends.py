"""Last hidden states of a pass over rows, after the model's last norm: what losses read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rung.compute import body
from rung.compute.passes import over_tree, tree_of
from rung.compute.tree import Tree

Ids = tuple[int, ...]


class Below(Protocol):
    """What the first `layers` decoder layers put out, where it is known already."""

    @property
    def layers(self) -> int: ...

    def states(self, tree: Tree, rows: Sequence[Ids]) -> Tensor:
        """For a pass over the `tree` of `rows`: (1, T, d)."""
        ...


def ends(model: PreTrainedModel, rows: Sequence[Ids], below: Below | None = None) -> Tensor:
    """States (rows, d) of the last token of each row, with gradient; what rows share is computed once."""
    tree = tree_of(model, rows)
    last = torch.tensor([tree.places(row)[-1] for row in range(len(rows))], device=model.device)
    return states_at(model, tree, rows, last, below)


def states_at(
    model: PreTrainedModel, tree: Tree, rows: Sequence[Ids], wanted: Tensor, below: Below | None
) -> Tensor:
    """States (N, d) at the places `wanted` (N,) of a pass over the `tree` of `rows`, with gradient."""
    known = below.states(tree, rows) if below else None  # (1, T, d)
    return body.hidden_states(model, over_tree(model, tree, wanted, known, below.layers if below else 0))
