"""A prefix tree changes nothing but the time: tokens, attention and gradients equal the unshared ones."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor

from rung.compute.attention import Packed, attending, causal_mask
from rung.compute.plain import own_states
from rung.compute.tree import Tree, build
from rung.data.prefix import LONGEST, SHORTEST
from tiny_model import VOCABULARY, distance, tiny_model

Ids = tuple[int, ...]
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


def random_tree_rows(seed: int) -> list[Ids]:
    """Rows that branch off each other, are equal, end where others continue, or share nothing; some long."""
    rng = random.Random(seed)
    rows: list[Ids] = []
    for _ in range(rng.randrange(1, 9)):
        begin: Ids = ()
        if rows and rng.random() < 0.8:
            other = rng.choice(rows)
            begin = other[: rng.choice([rng.randrange(1, len(other) + 1), len(other)])]
        more = rng.choice([0, 3, 30] if begin else [1, 5, 40, 3 * LONGEST])
        rows.append((*begin, *(rng.randrange(VOCABULARY) for _ in range(more))))
    return rows


def unshared(tree: Tree, rows: list[Ids], q: Tensor, k: Tensor, v: Tensor, window: int | None) -> Tensor:
    """Every row alone, with a dense mask; of shared tokens the last row's output is taken."""
    out: list[Tensor] = [q.new_zeros(())] * len(tree.ids)
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    for number in range(len(rows)):
        places = tree.places(number)
        a, b, c = (x[:, :, places] for x in (q, k, v))
        hidden = ~causal_mask(len(places), 0, window, q.device)
        part = (a @ b.mT * 0.3).masked_fill(hidden, float("-inf")).softmax(-1) @ c
        for i, place in enumerate(places):
            out[place] = part[:, :, i]
    return torch.stack(out, 2)


@pytest.mark.parametrize("seed", range(25))
def test_every_token_of_every_row_has_its_place(seed: int) -> None:
    rows = random_tree_rows(seed)
    tree = build(rows)
    used = set()
    for number, row in enumerate(rows):
        places = tree.places(number)
        assert tuple(tree.ids[place] for place in places) == row
        assert [tree.positions[place] for place in places] == list(range(len(row)))
        used |= set(places)
    assert used == set(range(len(tree.ids)))
    assert max(node.length for node in tree.nodes) <= LONGEST
    assert sorted({place for n in tree.nodes for place in range(n.start, n.start + n.length)}) == sorted(used)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("window", [None, 6, 50])
@pytest.mark.parametrize("seed", range(12))
def test_attention_and_gradients_equal_the_unshared_ones_in_fp64(
    seed: int, window: int | None, device: str
) -> None:
    rows = random_tree_rows(seed)
    tree = build(rows)
    generator = torch.Generator().manual_seed(seed)
    q, k, v, grad = (
        torch.randn(1, h, len(tree.ids), 8, generator=generator, dtype=torch.float64).to(device)
        for h in (4, 2, 2, 4)
    )
    qkv = [x.requires_grad_() for x in (q, k, v)]
    ours, wanted = tree.attend(0, *qkv, 0.3, window), unshared(tree, rows, *qkv, window)
    torch.testing.assert_close(ours, wanted, rtol=1e-10, atol=1e-10)
    pairs = zip(torch.autograd.grad(ours, qkv, grad), torch.autograd.grad(wanted, qkv, grad), strict=True)
    for mine, other in pairs:
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


def sizes(rows: Iterable[Ids]) -> list[tuple[int, int, tuple[int, ...]]]:
    return [(node.depth, node.length, node.rows) for node in build(list(rows)).nodes]


def test_rows_are_cut_where_they_part() -> None:
    a, b, c = tuple(range(10, 30)), tuple(range(30, 40)), tuple(range(40, 45))
    assert sizes([a + b, a + c]) == [(0, 20, (0, 1)), (20, 10, (0,)), (20, 5, (1,))]
    assert sizes([a + b + c, a + b + b, a + c]) == [
        (0, 20, (1, 0, 2)),  # in the order of their tokens
        (20, 10, (1, 0)),
        (20, 5, (2,)),
        (30, 10, (1,)),
        (30, 5, (0,)),
    ]


def test_what_is_too_short_is_not_shared() -> None:
    a = tuple(range(SHORTEST))
    assert len(build([(*a, 50), (*a, 60)]).ids) == SHORTEST + 2
    assert len(build([(*a[1:], 50), (*a[1:], 60)]).ids) == 2 * SHORTEST
    longer = tuple(range(70, 80))  # a short run may still be the beginning of a long one
    rows = [(1, *longer, 2), (1, *longer, 3), (1, 4)]
    assert len(build(rows).ids) == 11 + 1 + 1 + 2


def test_the_same_rows_and_rows_that_end_early_cost_nothing() -> None:
    a = tuple(range(3, 33))
    assert len(build([a, a, a[:12]]).ids) == len(a)
    assert len(build([a[:2], a[:2]]).ids) == 2


def test_a_long_row_is_a_chain() -> None:
    tree = build([tuple(range(2 * LONGEST + 60))])
    assert [node.length for node in tree.nodes] == [LONGEST, LONGEST, 60]
    assert [node.parent for node in tree.nodes] == [-1, 0, 1]


def test_a_model_sees_no_difference() -> None:
    model = tiny_model()
    a, b, c = tuple(range(3, 20)), tuple(range(20, 26)), tuple(range(50, 60))
    rows = [a + b, a + c]
    tree = build(rows)
    together = states(model, tree.ids, tree.positions, tree)
    for number, row in enumerate(rows):
        alone = states(model, row, range(len(row)), Packed([len(row)]))
        assert distance(together[tree.places(number)], alone) < 1e-5


def states(model: torch.nn.Module, ids: Iterable[int], positions: Iterable[int], layout: object) -> Tensor:
    with attending(layout):
        places = torch.tensor([list(positions)])
        return own_states(model, torch.tensor([list(ids)]), position_ids=places)[0]
