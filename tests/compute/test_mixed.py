"""One linear layer, or several that read the same, whose rows use different slots."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from rung.compute import by_row
from rung.compute.by_row import ByRow, NotByRow
from rung.compute.changes import Change
from rung.compute.projection import Projection
from rung.compute.sites import Site, site_of
from rung.methods.low_rank import LowRankChange
from tiny_model import shake


class Twice(Change):
    def before(self, x: Tensor) -> Tensor:
        return 2 * x


def low_rank(layer: nn.Linear, rank: int, seed: int, start: bool = False) -> LowRankChange:
    change = LowRankChange(layer, rank, 0.7, torch.Generator().manual_seed(seed))
    shake([change.a, change.b], seed)
    if start:
        change.start = (change.a.detach().clone() + 1, change.b.detach().clone())
    return change


def a_model() -> nn.Sequential:
    """Three layers that read 6 numbers, in fp64."""
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(6, n) for n in (5, 3, 3))).double().requires_grad_(False)


def changes_of(kind: str, layer: nn.Linear, place: int) -> dict[str, Change]:
    """What slots a, b and c do at one of the layers."""
    if kind == "sums":
        return {"a": low_rank(layer, 2, 1 + place), "b": low_rank(layer, 4 - place, 5 + place)}
    if kind == "starts":
        return {"a": low_rank(layer, 2, 1, start=True), "b": low_rank(layer, 3, 2)}
    if kind == "some layers":
        slot = {0: "a", 2: "b"}.get(place)
        return {slot: low_rank(layer, 2, 1)} if slot else {}
    return {"a": low_rank(layer, 2, 1), "b": Twice()}


def sites_of(kind: str) -> list[Site]:
    model = a_model()
    for place in range(3):
        layer = model[place]
        site_of(model, str(place)).changes |= changes_of(kind, layer, place)  # type: ignore[arg-type]
    return list(model)  # type: ignore[arg-type]


KINDS = ["sums", "starts", "some layers", "not all sums"]
ROWS = ["b", "a", None, "c", "a", "b", "a"]


def alone(sites: Sequence[Site], x: Tensor) -> Tensor:
    """Each row with nothing but its own slot's change."""
    rows = []
    for row, slot in zip(x, ROWS, strict=True):
        for site in sites:
            site.switch(site.changes.get(slot) if slot else None)
        rows.append(torch.cat([site(row[None]) for site in sites], -1))
    for site in sites:
        site.switch(None)
    return torch.cat(rows)


def mixed_rows() -> ByRow:
    return ByRow.spread(["a", "b", "c"], ROWS, [1] * len(ROWS), "cpu")


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_every_row_is_what_its_own_slot_makes_of_it(kind: str) -> None:
    sites = sites_of(kind)
    x = torch.randn(len(ROWS), 6, generator=torch.Generator().manual_seed(1)).double()
    wanted = alone(sites, x)
    joint = Projection(sites)
    plain = joint.forward(x)
    for _ in range(2):  # the second time with what the first has kept
        with by_row.using(mixed_rows()):
            assert torch.allclose(torch.cat([site(x[:, None])[:, 0] for site in sites], -1), wanted)
            assert torch.allclose(joint.forward(x), wanted)
        assert torch.equal(joint.forward(x), plain)
        for site in sites:
            for change in site.changes.values():
                if isinstance(change, LowRankChange):
                    change.b.add_(0.5)
                    change.clock.ticks += 1
        wanted = alone(sites, x)


@torch.no_grad()
def test_an_adapter_whose_numbers_are_not_finite_leaves_the_rows_of_others_alone() -> None:
    sites = sites_of("sums")
    x = torch.randn(len(ROWS), 6, generator=torch.Generator().manual_seed(1)).double()
    wanted = alone(sites, x)
    for site in sites:
        broken = site.changes["a"]
        assert isinstance(broken, LowRankChange)
        broken.a.fill_(float("inf"))
        broken.clock.ticks += 1
    with by_row.using(mixed_rows()):
        found = Projection(sites).forward(x)
    others = [i for i, slot in enumerate(ROWS) if slot != "a"]
    assert torch.allclose(found[others], wanted[others])
    assert not found[[i for i, slot in enumerate(ROWS) if slot == "a"]].isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_layer_that_does_not_read_all_tokens_says_so(kind: str) -> None:
    sites = sites_of(kind)
    with by_row.using(mixed_rows()), pytest.raises(NotByRow, match="does not read all tokens"):
        sites[0](torch.ones(3, 6).double())


@torch.no_grad()
def test_a_base_that_reads_the_weight_itself_cannot_mix() -> None:
    (site, *_) = sites_of("sums")
    with by_row.using(mixed_rows()), pytest.raises(NotByRow, match="reads the weight"):
        _ = site.weight
