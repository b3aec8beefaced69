"""Hidden states of the frozen base, pooled over each row: what a probe reads. No head, no decoding.

    mean[l, i] = mean over own tokens t of h_l[i, t]          last[l, i] = h_l[i, T_i]

h_l is the output of decoder layer l. Rows are read in packs whose common beginnings are computed once
(`rung.compute.tree`), and one pass gives all layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rung.bases.base import Base
from rung.compute import body
from rung.compute.ends import ends as last_states
from rung.compute.passes import over_tree, tree_of
from rung.compute.tree import Tree
from rung.data.pack import group
from rung.generate.cache import PASS_TOKENS, Ids
from rung.generate.checks import check_finite, check_prompts, context_left, evaluating

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Pooled:
    """Hidden states (layers, rows, d) of some layers in the base's number format, on the CPU."""

    mean: Tensor
    last: Tensor


def read(
    base: Base,
    rows: Sequence[Ids],
    own: Sequence[Sequence[int]],
    layers: Sequence[int],
    on_progress: Progress | None = None,
) -> Pooled:
    """Pooled states of every row of token ids after each of `layers` (counted from 1, ascending).

    ``own[i]`` are the places in row i that its mean is over; at least one. Raises `DataError`
    for a row that is empty or too long, `RungError` where a state is not finite.
    """
    check_prompts(rows, context_left(base), room=0)
    ids = [tuple(row) for row in rows]
    width: int = base.model.config.get_text_config().hidden_size
    size = (len(layers), len(ids), width)
    found = Pooled(torch.empty(size, dtype=base.dtype), torch.empty(size, dtype=base.dtype))
    place = {layer: number for number, layer in enumerate(layers)}
    done = 0
    with torch.inference_mode(), evaluating(base.model):
        for some in group([len(row) for row in ids], ids, range(len(ids)), PASS_TOKENS):
            tree = tree_of(base.model, [ids[i] for i in some])
            pool = _Pool(tree, [own[i] for i in some], base.device)
            states = body.every_layer(base.model, over_tree(base.model, tree), max(layers, default=0))
            for layer, h in enumerate(states, start=1):
                if layer in place:
                    mean, last = pool.of(h)
                    check_finite(base, mean)
                    found.mean[place[layer], list(some)] = mean.to("cpu", base.dtype)
                    found.last[place[layer], list(some)] = last.to("cpu", base.dtype)
            done += len(some)
            if on_progress:
                on_progress(done, len(ids))
    return found


def ends(base: Base, rows: Sequence[Ids], on_progress: Progress | None = None) -> Tensor:
    """The last state of every row of token ids, after the model's last norm: (rows, d) in fp32, on the CPU.

    What a head for labels reads. Raises `DataError` for a row that is empty or too long, `RungError` where a
    state is not finite.
    """
    check_prompts(rows, context_left(base), room=0)
    ids = [tuple(row) for row in rows]
    found = torch.empty(len(ids), base.model.config.get_text_config().hidden_size)
    done = 0
    with torch.inference_mode(), evaluating(base.model):
        for some in group([len(row) for row in ids], ids, range(len(ids)), PASS_TOKENS):
            states = last_states(base.model, [ids[i] for i in some])
            check_finite(base, states)
            found[list(some)] = states.float().cpu()
            done += len(some)
            if on_progress:
                on_progress(done, len(ids))
    return found


class _Pool:
    """The mean over own tokens and the last token of each row of a pass."""

    def __init__(self, tree: Tree, own: Sequence[Sequence[int]], device: torch.device) -> None:
        places = [tree.places(row) for row in range(len(own))]
        inside = [[row[i] for i in mine] for row, mine in zip(places, own, strict=True)]
        self._counts = torch.tensor([[len(row)] for row in inside], device=device)  # (R, 1)
        self._row = torch.repeat_interleave(torch.arange(len(own), device=device), self._counts[:, 0])
        self._tokens = torch.tensor([place for row in inside for place in row], device=device)
        self._last = torch.tensor([row[-1] for row in places], device=device)

    def of(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """States h (T, d) of the pass -> mean and last (R, d), in fp32."""
        sums = h.new_zeros(len(self._counts), h.shape[1], dtype=torch.promote_types(h.dtype, torch.float32))
        sums.index_add_(0, self._row, h[self._tokens].to(sums.dtype))
        return sums / self._counts, h[self._last].to(sums.dtype)
