"""Packs and steps: every row once an epoch, nothing over the limit, the same plan for the same arguments."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from rung.compute.tree import build
from rung.data.pack import computed, group, order, pack, plan


def some_lengths(count: int, seed: int = 0, longest: int = 100) -> list[int]:
    draw = random.Random(seed)
    return [draw.randint(1, longest) for _ in range(count)]


@pytest.mark.parametrize("limit", [50, 100, 1000])
def test_every_row_is_in_one_pack_and_no_pack_is_too_long(limit: int) -> None:
    lengths = some_lengths(200)
    packs = pack(lengths, range(200), limit)
    assert sorted(row for one in packs for row in one) == list(range(200))
    for one in packs:
        assert sum(lengths[row] for row in one) <= limit or len(one) == 1
        assert list(one) == sorted(one)


def test_a_row_over_the_limit_is_alone_and_whole() -> None:
    assert sorted(pack([5, 30, 4], range(3), 10)) == [(0, 2), (1,)]


def test_packs_are_nearly_full() -> None:
    lengths = some_lengths(500)
    packs = pack(lengths, range(500), 400)
    assert len(packs) <= 1.05 * sum(lengths) / 400 + 1


def test_only_the_asked_rows_are_packed() -> None:
    assert pack([5, 5, 5], [2, 0], 100) == [(0, 2)]
    assert pack([5], [], 10) == []


def test_order_is_a_pure_function_of_its_arguments() -> None:
    assert order(50, 1, 0) == order(50, 1, 0)
    assert sorted(order(50, 1, 0)) == list(range(50))
    assert order(50, 1, 0) != order(50, 1, 1)
    assert order(50, 1, 0) != order(50, 2, 0)
    random.seed(5)
    first = random.random()
    random.seed(5)
    order(50, 1, 0)
    assert random.random() == first  # the global generator is left alone


def test_whole_epochs_see_every_row_equally_often() -> None:
    steps = plan(some_lengths(57), seed=3, epochs=3, step_tokens=256, pack_tokens=128)
    for epoch in range(3):
        seen = [row for step in steps if step.epoch == epoch for row in step.rows]
        assert sorted(seen) == list(range(57))
    assert [step.epoch for step in steps] == sorted(step.epoch for step in steps)


@pytest.mark.parametrize(("epochs", "rows"), [(0.5, 20), (1.25, 50), (2.0, 80)])
def test_a_fraction_of_an_epoch_is_a_fraction_of_the_rows(epochs: float, rows: int) -> None:
    steps = plan([10] * 40, seed=0, epochs=epochs, step_tokens=50, pack_tokens=20)
    seen = Counter(row for step in steps for row in step.rows)
    assert sum(seen.values()) == rows
    assert max(seen.values()) - min(seen.values()) <= 1


def test_a_longer_run_begins_with_the_whole_epochs_of_a_shorter_one() -> None:
    lengths = some_lengths(40)
    one = plan(lengths, seed=0, epochs=1, step_tokens=300, pack_tokens=100)
    two = plan(lengths, seed=0, epochs=2, step_tokens=300, pack_tokens=100)
    assert two[: len(one)] == one


def test_steps_are_of_nearly_one_size() -> None:
    lengths = some_lengths(500)
    steps = plan(lengths, seed=0, epochs=1, step_tokens=1000, pack_tokens=500)
    sizes = [sum(lengths[row] for row in step.rows) for step in steps]
    assert len(steps) == round(sum(lengths) / 1000)
    assert min(sizes) > 750
    assert max(sizes) < 1250


def test_rows_of_a_step_do_not_depend_on_the_size_of_packs() -> None:
    lengths = some_lengths(100)
    small = plan(lengths, seed=0, epochs=1, step_tokens=500, pack_tokens=100)
    large = plan(lengths, seed=0, epochs=1, step_tokens=500, pack_tokens=10_000)
    assert [sorted(step.rows) for step in small] == [sorted(step.rows) for step in large]
    assert all(len(step.packs) == 1 for step in large)
    assert any(len(step.packs) > 1 for step in small)


def test_a_step_larger_than_the_data_is_one_step_an_epoch() -> None:
    assert len(plan([10] * 5, seed=0, epochs=2, step_tokens=10**6, pack_tokens=100)) == 2


def test_no_rows_is_no_steps() -> None:
    assert plan([], seed=0, epochs=3, step_tokens=10, pack_tokens=10) == []


def families(count: int, begin: int, seed: int = 0) -> list[tuple[int, ...]]:
    """Rows of `count` families; those of a family begin with the same `begin` tokens."""
    draw = random.Random(seed)
    starts = [tuple(draw.randrange(1000) for _ in range(begin)) for _ in range(count)]
    return [
        (*draw.choice(starts), *(draw.randrange(1000) for _ in range(draw.randint(10, 40))))
        for _ in range(120)
    ]


@pytest.mark.parametrize("begin", [0, 12, 200])
@pytest.mark.parametrize("seed", range(3))
def test_computed_tokens_are_those_of_the_tree(begin: int, seed: int) -> None:
    ids = families(4, begin, seed)
    more = len(build(ids).ids) - computed(ids, range(len(ids)))
    assert (
        0 <= more <= 0.01 * sum(map(len, ids))
    )  # tails that agree at first by chance are too short to share


def test_rows_with_a_common_beginning_share_a_pack() -> None:
    ids = families(6, 200)
    lengths = [len(one) for one in ids]
    packs = group(lengths, ids, range(len(ids)), 1000)
    assert sorted(row for one in packs for row in one) == list(range(len(ids)))
    assert all(list(one) == sorted(one) for one in packs)
    sizes = [computed(ids, one) for one in packs]
    assert sum(sizes) < 0.5 * sum(lengths)
    assert max(sizes) < 1.3 * 1000
    assert min(sizes) > 0.5 * 1000


@pytest.mark.parametrize(("begin", "packs"), [(300, 1), (60, 2)])
def test_a_pack_is_larger_where_that_saves_computing_a_long_beginning_again(begin: int, packs: int) -> None:
    draw = random.Random(0)
    start = [draw.randrange(1000) for _ in range(begin)]
    ids = [(*start, *(draw.randrange(1000) for _ in range(40))) for _ in range((1700 - begin) // 40)]
    found = group([len(one) for one in ids], ids, range(len(ids)), 1000)
    assert len(found) == packs
    assert sorted(row for one in found for row in one) == list(range(len(ids)))


def test_without_sharing_packs_are_as_before() -> None:
    ids = families(4, 0)
    lengths = [len(one) for one in ids]
    sizes = {"seed": 1, "epochs": 2, "step_tokens": 900, "pack_tokens": 300}
    assert plan(lengths, ids, **sizes) == plan(lengths, **sizes)


def test_sharing_moves_no_row_to_another_step() -> None:
    ids = families(4, 100)
    lengths = [len(one) for one in ids]
    sizes = {"seed": 1, "epochs": 2, "step_tokens": 3000, "pack_tokens": 500}
    shared, plain = plan(lengths, ids, **sizes), plan(lengths, **sizes)
    assert [sorted(step.rows) for step in shared] == [sorted(step.rows) for step in plain]
    assert sum(len(step.packs) for step in shared) < sum(len(step.packs) for step in plain)


def test_grouping_nothing_is_no_pack() -> None:
    assert group([], [], [], 10) == []
