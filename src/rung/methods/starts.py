"""Where A and B begin, other than A at random and B at zero.

    PiSSA  (Meng et al. 2024, arXiv 2404.02948)      s B A is the part of W with the largest singular values;
                                                     the base stays, and this product is taken off again
    EVA    (after Paischer et al. 2024, 2410.07170)  rows of A are the directions in which what the layer
                                                     reads varies most, over some train rows; B = 0

Both look for the leading eigenvectors of a matrix C = X^T X, with X = W or all that a layer reads, by
subspace iteration: a few columns are multiplied by C, again and again, and C is never formed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rung.compute import body, plain
from rung.compute.changes import Change
from rung.compute.linears import Linear, shape_of, weight_of
from rung.compute.passes import over_tree, tree_of
from rung.compute.sites import site_of
from rung.data.pack import group
from rung.errors import UsageError
from rung.methods.low_rank import LowRankChange

_SPARE = 8  # columns more than twice the rank
_ROUNDS = 8  # of PiSSA
_SWEEPS = 3  # of EVA over its rows
_TOKENS = 4096  # of EVA's rows, at least where there are so many
_PASS_TOKENS = 2048


class Directions:
    """Subspace iteration: Q (n, k) is multiplied by C = X^T X, seen some rows of X at a time."""

    def __init__(self, size: int, rank: int, generator: torch.Generator, like: Tensor) -> None:
        """For `rank` directions of `size` numbers, in the format and on the device of `like`."""
        columns = min(size, 2 * rank + _SPARE)
        begin = torch.randn(size, columns, generator=generator).to(like)
        self.q: Tensor = torch.linalg.qr(begin)[0]
        self.product = torch.zeros_like(self.q)  # C Q

    def add(self, x: Tensor) -> None:
        """Rows x (N, n) of X."""
        self.product += x.T @ (x @ self.q)

    def turn(self) -> None:
        """All rows of X have been added: begin the next round."""
        if bool(self.product.any()):
            self.q = torch.linalg.qr(self.product)[0]
        self.product = torch.zeros_like(self.q)

    def best(self, rank: int) -> Tensor:
        """The leading directions (rank, n), orthonormal; instead of the last `turn`."""
        small = self.q.T @ self.product
        _, mixed = torch.linalg.eigh((small + small.T) / 2)  # smallest first
        found: Tensor = (self.q @ mixed.flip(1)[:, :rank]).T
        return found


@torch.no_grad()
def pissa(change: LowRankChange, base: Linear, generator: torch.Generator) -> None:
    """Begin at the principal part of the layer's weight; `require_room` has looked at the rank."""
    weight = weight_of(base).to(change.a.dtype)  # (out, in)
    rank = len(change.a)
    found = Directions(weight.shape[1], rank, generator, change.a)
    for number in range(_ROUNDS):
        if number:
            found.turn()
        found.add(weight)
    v = found.best(rank)  # (r, in)
    left = weight @ v.T  # (out, r): U S
    sizes = left.norm(dim=0).clamp(min=torch.finfo(left.dtype).tiny)  # (r,)
    root = (sizes / change.scale).sqrt()
    change.a.copy_(root[:, None] * v)
    change.b.copy_(left / sizes * root)
    change.start = change.a.detach().clone(), change.b.detach().clone()


def require_room(name: str, layer: Linear, rank: int) -> None:
    """Raises `UsageError` where a layer has fewer singular values than `rank`."""
    width = min(shape_of(layer))
    if rank > width:
        raise UsageError(
            f"rank {rank} is above the width of {name}, which is {width}",
            why="More would not be used",
            fix=f"Give a rank of at most {width}, give this layer a rank of its own with the option ranks "
            f"({name.rpartition('.')[2]}={width}), or leave it out with targets",
        )


@torch.no_grad()
def eva(model: Any, changes: Mapping[str, LowRankChange], rows: Sequence[Sequence[int]], seed: int) -> None:
    """Begin at what the layers read most in the plain base, over the first of `rows` of token ids.

    A row of A for which there is no direction stays random.
    """
    draw = torch.Generator().manual_seed(seed)
    found: dict[str, Directions] = {}
    for name, change in changes.items():
        found[name] = Directions(change.a.shape[1], len(change.a), draw, change.a)
    some = [tuple(row) for row in _first(rows)]
    packs = group([len(row) for row in some], some, range(len(some)), _PASS_TOKENS)
    if plain.is_used(model):  # which fills up shorter rows of a pass
        packs = [(number,) for number in range(len(some))]
    sites = {name: site_of(model, name) for name in changes}
    were_on = {name: site.on for name, site in sites.items()}
    try:
        for name, site in sites.items():
            site.switch(_Reader(found[name]))
        for sweep in range(_SWEEPS):
            for one in found.values() if sweep else ():
                one.turn()
            for pack in packs:
                tree = tree_of(model, [some[row] for row in pack])
                body.hidden_states(model, over_tree(model, tree))
    finally:
        for name, site in sites.items():
            site.switch(were_on[name])
    for name, change in changes.items():
        if bool(found[name].product.any()):
            best = found[name].best(len(change.a))
            change.a[: len(best)].copy_(best)


class _Reader(Change):
    """Changes nothing, and looks at what the layer reads."""

    def __init__(self, found: Directions) -> None:
        super().__init__()
        self.found = found

    def before(self, x: Tensor) -> Tensor:
        self.found.add(x.reshape(-1, x.shape[-1]).to(self.found.q.dtype))
        return x

    def merged(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return weight, bias


def _first(rows: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """As many of the first rows as hold `_TOKENS` tokens."""
    found: list[Sequence[int]] = []
    tokens = 0
    for row in rows:
        if tokens >= _TOKENS:
            break
        found.append(row)
        tokens += len(row)
    return found
