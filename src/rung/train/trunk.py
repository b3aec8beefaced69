"""The frozen trunk, computed once: with adapters in the top k of L layers, the layers below never change.

    work per token and epoch, in forward passes of the body:   1 + k / L   without,     2 k / L   with it

and with it, once, one pass through the L - k frozen layers. (The backward pass through a layer with frozen
weights costs about as much as its forward pass.) The input of the first adapted layer is kept for every train
and dev row in one memory-mapped file, in the model's number format (2 d bytes a token in bf16). It is read in
every epoch, and again by a run that continues in the same folder with the same frozen weights and rows.
Nothing is approximated, but rows are packed in another order than in training, so the last bits of a sum may
differ. Used for models on the CPU that `rung.compute.body` computes. After Skip2-LoRA (arXiv 2410.21073).
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rung import storage
from rung.compute import body
from rung.compute.passes import over_tree, tree_of
from rung.compute.tree import Tree
from rung.data.pack import group

_PASS_TOKENS = 2048
_SPARE = 0.5  # of the free disk may be used

Ids = tuple[int, ...]


class Trunk:
    """The output of the first `layers` decoder layers for the tokens of many rows."""

    def __init__(self, model: PreTrainedModel, layers: int, rows: Sequence[Ids], folder: Path) -> None:
        """Reads the file in `folder` that was made for the same frozen weights and rows, or makes it.

        Raises `ResourceError` where the disk refuses.
        """
        self.layers = layers
        self._width = model.config.get_text_config().hidden_size
        self._starts: dict[Ids, int] = {}
        total = 0
        for ids in sorted(set(rows)):
            self._starts[ids] = total
            total += len(ids)
        path = folder / f"trunk-{self._mark(model)}.bin"
        if not path.is_file():
            with storage.new_file(path, total * self._width * model.dtype.itemsize) as half:
                _fill(model, layers, self._starts, self._open(half, total, model.dtype))
        self._states = self._open(path, total, model.dtype)

    def states(self, tree: Tree, rows: Sequence[Ids]) -> Tensor:
        """What layer `layers` reads in a pass over the `tree` of `rows`: (1, T, d)."""
        # A node holds tokens that its rows share; any of them has the states, so the first is asked.
        spans = [
            torch.arange(at, at + node.length)
            for node in tree.nodes
            for at in (self._starts[rows[node.rows[0]]] + node.depth,)
        ]
        return self._states[torch.cat(spans)][None]  # (tokens of the file, d) -> (T, d) -> (1, T, d)

    def _open(self, path: Path, tokens: int, dtype: torch.dtype) -> Tensor:
        size = tokens * self._width
        # (tokens, d), row after row; `shared` writes through to the file
        return torch.from_file(str(path), shared=True, size=size, dtype=dtype).view(tokens, self._width)

    def _mark(self, model: PreTrainedModel) -> str:
        """Of everything the states depend on: the frozen weights, their number format and the rows."""
        digest = hashlib.sha256(f"{self.layers} {model.dtype}".encode())
        digest.update(repr(sorted(self._starts)).encode())
        for weight in body.frozen_weights(model, self.layers):
            digest.update(weight.detach().contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()[:16]


def bytes_needed(model: PreTrainedModel, rows: Sequence[Ids]) -> int:
    """Size of the file for `rows`."""
    width: int = model.config.get_text_config().hidden_size
    return int(sum(map(len, set(rows))) * width * model.dtype.itemsize)


def why_not(model: PreTrainedModel, layers: int, rows: Sequence[Ids], folder: Path) -> str | None:
    """Why there is nothing to cache, or no room for it; None where a `Trunk` can be made."""
    if layers == 0:
        return "the first layer is trained too"
    other = body.why_not(model)
    if other is not None:
        return other
    if model.device.type != "cpu":
        return "the model is not on the CPU"
    parent = next(path for path in (folder, *folder.parents) if path.is_dir())
    needed, free = bytes_needed(model, rows), shutil.disk_usage(parent).free
    if needed > _SPARE * free:
        return f"its file needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
    return None


@torch.no_grad()
def _fill(model: PreTrainedModel, layers: int, starts: dict[Ids, int], states: Tensor) -> None:
    rows = list(starts)
    for indices in group([len(row) for row in rows], rows, range(len(rows)), _PASS_TOKENS):
        some = [rows[index] for index in indices]  # rows of one pass, with T tokens in their prefix tree
        tree = tree_of(model, some)
        out = body.trunk(model, over_tree(model, tree), layers)
        for number, row in enumerate(some):
            # places of the row's n tokens in the tree: (n,); shared tokens are copied to each of their rows
            states[starts[row] : starts[row] + len(row)] = out[torch.tensor(tree.places(number))]
