"""What one forward pass computes. It is made over a tree of rows, over segments, or by hand.

Training, decoding, label scoring, reading of features and the measure of forgetting all hand a `Pass` to
`rung.compute.body`. What a method puts before the tokens of every row (`rung.compute.lead`) is part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rung.compute.attention import Layout, Packed, Prefix, positions
from rung.compute.by_row import ByRow
from rung.compute.lead import lead_of
from rung.compute.tree import Tree, build

Ids = Sequence[int]


@dataclass(frozen=True, slots=True)
class Pass:
    """Tokens, where they stand, and what they may see."""

    ids: Tensor  # (B, T)
    positions: Tensor  # (B, T)
    layout: Layout
    wanted: Tensor | None = None  # (N,) places in B * T whose states are asked for; None: all
    below: Tensor | None = None  # (B, T, d): what decoder layer `first` reads, where that is known
    first: int = 0
    rows: ByRow | None = None  # the slot of each token's row; None: all use the slot that is on


def tree_of(model: PreTrainedModel, rows: Sequence[Ids]) -> Tree:
    """The prefix tree of `rows` of token ids, after what comes before every row of `model`."""
    return build(rows, lead=lead_of(model))


def over_tree(
    model: PreTrainedModel,
    tree: Tree,
    wanted: Tensor | None = None,
    below: Tensor | None = None,
    first: int = 0,
) -> Pass:
    """A pass over the nodes of `tree`."""
    ids, at = (torch.tensor([x], device=model.device) for x in (tree.ids, tree.positions))  # (1, T)
    return Pass(ids, at, tree, wanted, below, first)


def over_segments(
    model: PreTrainedModel,
    segments: Sequence[Ids],
    prefix: Prefix | None = None,
    *,
    keep: bool = False,
    ends: bool = False,
) -> tuple[Pass, Packed]:
    """A pass over segments that do not see each other, after `prefix`; and its layout.

    With `keep` the layout keeps their keys and values; with `ends` the last tokens' states alone are wanted.
    """
    lengths = [len(one) for one in segments]
    layout = Packed(lengths, prefix, keep=keep)
    ids = torch.tensor([[token for one in segments for token in one]], device=model.device)  # (1, T)
    last = torch.tensor(lengths, device=model.device).cumsum(0) - 1 if ends else None  # (segments,)
    at = positions(lengths, prefix.length if prefix else 0, model.device)
    return Pass(ids, at, layout, last), layout
