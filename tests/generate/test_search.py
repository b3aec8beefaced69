"""Best-first search finds the choice that scoring all of them finds, and reads less."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rung.compute.load import tiny
from rung.generate import search as searching
from rung.generate.branches import Branches, Tree
from rung.generate.choose import best_and_scores, best_choices, log_likelihoods
from rung.generate.search import Frontier


def labels(draw: random.Random, count: int) -> list[tuple[int, ...]]:
    """Different choices with shared prefixes, each with its end of turn; some begin others."""
    found: dict[tuple[int, ...], None] = {}
    while len(found) < count:
        start = draw.choice([(70, 71), (70,), (90, 91, 92), ()])
        found[(*start, *(draw.randrange(60, 75) for _ in range(draw.randint(1, 5))), 2)] = None
    return list(found)


def prompts(draw: random.Random, count: int) -> list[list[int]]:
    start = [draw.randrange(40, 259) for _ in range(draw.choice((0, 12)))]
    return [start + [draw.randrange(40, 259) for _ in range(draw.randint(1, 20))] for _ in range(count)]


@pytest.mark.parametrize("seed", range(12))
def test_the_best_is_the_best_of_all(seed: int) -> None:
    draw = random.Random(seed)
    choices = labels(draw, draw.choice((2, 3, 9, 40, 120)))
    asked = prompts(draw, draw.choice((1, 5, 30)))
    chance = np.random.default_rng(seed)
    some = chance.normal(0, 3, len(choices))
    corrections = np.stack([np.zeros(len(choices)), some, np.zeros(len(choices)), some])
    lengths = np.array([len(choice) for choice in choices])
    factors = np.stack([np.ones(len(choices))] * 2 + [1 / lengths] * 2)
    scores = log_likelihoods(tiny(), asked, choices)
    found = best_choices(tiny(), asked, choices, corrections, factors)
    assert found.shape == (4, len(asked))
    for k, (correction, factor) in enumerate(zip(corrections, factors, strict=True)):
        whole = scores * factor + correction
        # Batches of another shape round differently: a pick may differ where two scores are nearly equal.
        picked = whole[np.arange(len(asked)), found[k]]
        np.testing.assert_allclose(picked, whole.max(1), atol=1e-4, rtol=0)
        clear = np.sort(whole, 1)[:, -1] - np.sort(whole, 1)[:, -2] > 1e-3
        assert clear.any()
        assert (found[k] == whole.argmax(1))[clear].all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("seed", range(4))
def test_all_scores_agree_with_the_search_bit_by_bit(seed: int, dtype: torch.dtype) -> None:
    draw, base = random.Random(seed), tiny(dtype=dtype)
    choices, asked = labels(draw, 40), prompts(draw, 30)
    corrections = np.random.default_rng(seed).normal(0, 3, (2, len(choices)))
    best, scores = best_and_scores(base, asked, choices, corrections)
    assert best.tolist() == best_choices(base, asked, choices, corrections).tolist()
    assert best.tolist() == [(scores + one).argmax(1).tolist() for one in corrections]
    rough = 1e-4 if dtype == torch.float32 else 0.5
    np.testing.assert_allclose(scores, log_likelihoods(base, asked, choices), atol=rough, rtol=0)


def test_rounding_makes_no_choice_better_than_the_search_found_it() -> None:
    made = frontier([0.0, 0.0, 0.0])
    learn(made, 0, [0, 3], [-1.01, -1.0])  # d is best; a may be worth -1.01 at most
    assert made.best().tolist() == [[2]]
    rounded = np.array([[-0.9, 0.0, -0.3, -1.2]])  # of the edges a, a b, a c and d, computed another time
    assert made.scores(rounded)[0] == pytest.approx([-1.01, -1.31, -1.0])


def test_equal_choices_give_the_first() -> None:
    choices = [(70, 2), (80, 81, 2), (70, 2)]
    corrections = [[50.0, 0.0, 50.0], [0.0, 50.0, 0.0]]
    assert best_choices(tiny(), [[50, 51], [52]], choices, corrections).tolist() == [[0, 0], [1, 1]]


def test_progress_reaches_every_row_and_none_is_no_row() -> None:
    seen: list[tuple[int, int]] = []
    asked = prompts(random.Random(1), 7)
    choices = labels(random.Random(1), 9)
    best_choices(tiny(), asked, choices, [np.zeros(9)], on_progress=lambda *at: seen.append(at))
    assert seen[-1] == (7, 7)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert best_choices(tiny(), [], choices, [np.zeros(9)]).shape == (1, 0)


def test_nodes_that_cannot_win_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    real = Branches.read

    def count(self: Branches, rows: NDArray[np.intp], nodes: NDArray[np.intp]) -> object:
        read.append(len(nodes))
        return real(self, rows, nodes)

    monkeypatch.setattr(Branches, "read", count)
    monkeypatch.setattr(searching, "FULL", 1)
    choices = labels(random.Random(3), 120)
    asked = prompts(random.Random(3), 20)
    favoured = np.where(np.arange(120) == 7, 60.0, 0.0)
    assert (best_choices(tiny(), asked, choices, [favoured]) == 7).all()
    inner = len(choices[7]) - 1  # the nodes on the way to the only choice that can win
    assert sum(read) == 20 * inner
    assert len(Tree.of(choices).tokens) > 10 * inner


def frontier(corrections: list[float]) -> Frontier:
    """One row; the choices a b, a c and d, as tokens 1 2, 1 3 and 4."""
    return Frontier(Tree.of([(1, 2), (1, 3), (4,)]), np.array([corrections]), np.ones((1, 3)), 1)


def learn(made: Frontier, node: int, edges: list[int], logs: list[float]) -> None:
    one = np.array([0])
    made.learn(one, np.array([node]), np.zeros(len(edges), dtype=np.intp), np.array(edges), np.array(logs))


def test_a_bound_below_the_best_ends_the_search() -> None:
    made = frontier([0.0, 0.0, 0.0])
    learn(made, 0, [0, 3], [-5.0, -1.0])  # a, d: whatever follows a, d is better
    assert [part.tolist() for part in made.open()] == [[], []]
    assert made.best().tolist() == [[2]]


def test_a_bound_above_the_best_is_opened_and_corrections_count() -> None:
    made = frontier([0.0, 9.0, 0.0])
    learn(made, 0, [0, 3], [-5.0, -1.0])  # a c can still reach 9 - 5
    assert [part.tolist() for part in made.open()] == [[0], [1]]
    learn(made, 1, [1, 2], [-0.5, -2.0])
    assert [part.tolist() for part in made.open()] == [[], []]
    assert made.best().tolist() == [[1]]
    assert made.total[0].tolist() == [-5.5, -7.0, -1.0]


def test_a_choice_that_ties_is_only_read_where_it_comes_first() -> None:
    first = frontier([0.0, -9.0, 0.0])
    learn(first, 0, [0, 3], [-1.0, -1.0])  # a b could reach -1, and it comes before d
    assert [part.tolist() for part in first.open()] == [[0], [1]]
    last = Frontier(Tree.of([(4,), (1, 2)]), np.zeros((1, 2)), np.ones((1, 2)), 1)
    learn(last, 0, [0, 1], [-1.0, -1.0])
    assert [part.tolist() for part in last.open()] == [[], []]


def test_a_factor_makes_a_bound_better() -> None:
    made = Frontier(Tree.of([(1, 2), (1, 3), (4,)]), np.zeros((1, 3)), np.array([[0.1, 0.5, 1.0]]), 1)
    learn(made, 0, [0, 3], [-5.0, -1.0])  # a b can still reach -0.5, a c only -2.5, d has -1
    assert [part.tolist() for part in made.open()] == [[0], [1]]
    learn(made, 1, [1, 2], [-2.0, -1.0])
    assert made.best().tolist() == [[0]]
