"""The tables say of every token where it is computed, and of every key which copies of it there are."""

from __future__ import annotations

import random
from itertools import accumulate

import pytest
import torch

from rung.compute.batches import SCORES, Span, Tables, tables

HEADS, KV_HEADS = 4, 2


def made(lengths: list[int], parents: list[int], past: int = 0) -> Tables:
    ends = list(accumulate(lengths))
    spans: list[Span] = [(end - n, end) for end, n in zip(ends, lengths, strict=True)]
    return tables(spans, parents, HEADS, KV_HEADS, past, torch.device("cpu"))


@pytest.mark.parametrize("past", [0, 5])
@pytest.mark.parametrize("seed", range(8))
def test_every_row_comes_back_from_where_it_was_put(seed: int, past: int) -> None:
    rng = random.Random(seed)
    lengths = [rng.choice([1, 3, 20, 70]) for _ in range(rng.randrange(1, 9))]
    found = made(lengths, [rng.randrange(-1, i) for i in range(len(lengths))], past)
    put = torch.cat([batch.queries for batch in found.batches])
    assert torch.equal(put[found.queries_back], torch.arange(sum(lengths) * HEADS))
    real = torch.cat([batch.real for batch in found.batches])
    assert sorted(real[real < sum(lengths) * HEADS].tolist()) == list(range(sum(lengths) * HEADS))
    keys = torch.cat([batch.keys for batch in found.batches])
    copies, starts = found.bags
    assert len(starts) == (past + sum(lengths)) * KV_HEADS
    for row, bag in enumerate(torch.tensor_split(copies, starts[1:])):
        assert set(keys[bag].tolist()) <= {row}


def test_a_short_path_is_copied_and_a_long_one_is_shared() -> None:
    short, long = made([10, 30, 30], [-1, 0, 0]), made([100, 30, 30], [-1, 0, 0])
    assert short.shared == []
    assert long.shared == [((100, 160), [(0, 100)])]
    assert {batch.before for batch in short.batches} == {0, 10}
    assert {batch.before for batch in long.batches} == {0}


def test_cached_tokens_are_the_first_of_every_path() -> None:
    assert {batch.before for batch in made([30, 40], [-1, -1], past=8).batches} == {8}
    assert made([3, 4], [-1, -1], past=100).shared == [((0, 7), [(0, 100)])]


def test_nodes_of_unlike_lengths_are_not_padded_to_each_other() -> None:
    found = made([100, 90, 20, 19], [-1] * 4)
    assert [batch.shape[:2] for batch in found.batches] == [(2 * KV_HEADS, 100), (2 * KV_HEADS, 20)]


def test_a_batch_has_no_more_scores_than_stay_in_the_cache() -> None:
    found = made([128] * 200, [-1] * 200)
    assert len(found.batches) > 1
    for batch in found.batches:
        assert batch.shape[0] * (HEADS // KV_HEADS) * batch.shape[1] * batch.shape[2] <= SCORES
