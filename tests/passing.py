"""Logits of rung's own passes, which know what a method puts before every row."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rung.compute import body, head
from rung.compute.passes import over_tree, tree_of


@torch.no_grad()
def logits_of(model: PreTrainedModel, rows: Sequence[Sequence[int]]) -> list[Tensor]:
    """Of each row, read together: (its tokens, vocabulary)."""
    tree = tree_of(model, rows)
    logits = head.target_logits(model, body.hidden_states(model, over_tree(model, tree)))
    return [logits[tree.places(row)] for row in range(len(rows))]
