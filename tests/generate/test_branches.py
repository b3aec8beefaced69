"""The tree of choices, and passes over any of its nodes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rung.compute.load import tiny
from rung.errors import UsageError
from rung.generate import branches
from rung.generate.branches import Branches, Tree, edge_logs, log_probabilities, read_prompts

CHOICES = [(70, 71, 2), (70, 72, 2), (80, 2)]


def test_what_choices_begin_with_is_one_node() -> None:
    tree = Tree.of(CHOICES)
    assert tree.tokens.tolist() == [70, 71, 72, 80]
    assert tree.depth.tolist() == [1, 2, 2, 1]
    assert tree.paths == ((0, 1, 2), (0, 3, 4), (5, 6))
    assert tree.source.tolist() == [0, 1, 2, 1, 3, 0, 4]
    assert tree.target.tolist() == [70, 71, 2, 72, 2, 80, 2]
    assert tree.seen.int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]]


def test_an_empty_choice_is_named() -> None:
    with pytest.raises(UsageError, match="choice 2 of 2 has no tokens"):
        Tree.of([(70,), ()])


def test_nodes_read_in_any_order_and_in_parts_are_the_same() -> None:
    base, tree = tiny(), Tree.of(CHOICES)
    tails = [[50, 51, 52], [60]]
    with torch.inference_mode():
        whole = Branches(base, tree, None, 8)
        packs, roots = read_prompts(base, tails, None)
        assert roots.shape == (2, base.model.config.hidden_size)
        whole.begin(packs)
        at_once = whole.read(np.repeat([0, 1], 4), np.tile([1, 2, 3, 4], 2)).view(2, 4, -1)
        parts = Branches(base, tree, None, 1)
        parts.begin(packs)
        last = parts.read(np.array([0, 1, 1]), np.array([4, 1, 4]))
        first = parts.read(np.array([0]), np.array([1]))
        parts.keep([0])
        below = parts.read(np.array([0, 0]), np.array([3, 2]))
    torch.testing.assert_close(last, at_once[[0, 1, 1], [3, 0, 3]], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(first, at_once[[0], [0]], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(below, at_once[[0, 0], [2, 1]], atol=1e-5, rtol=1e-5)


def test_small_passes_over_the_tree_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    base, tree = tiny(), Tree.of(CHOICES)
    tails = [[50 + i] * (5 - i) for i in range(5)]
    with torch.inference_mode():
        one, two = (read_prompts(base, some, None) for some in (tails[:2], tails[2:]))
        packs, roots = [*one[0], *two[0]], torch.cat([one[1], two[1]])
        whole = edge_logs(base, tree, None, packs, roots)
        monkeypatch.setattr(branches, "PASS_TOKENS", 15)  # three rows, so one pass has rows of both packs
        parts = edge_logs(base, tree, None, packs, roots)
    assert whole.shape == (5, 7)
    np.testing.assert_allclose(parts, whole, atol=1e-5, rtol=0)


def test_log_probabilities_are_those_of_the_head() -> None:
    base = tiny()
    states = torch.randn(5, base.model.config.hidden_size, generator=torch.Generator().manual_seed(0))
    source, target = torch.tensor([0, 4, 4]), torch.tensor([70, 71, 2])
    with torch.inference_mode():
        found = log_probabilities(base, states, source, target)
        table = base.model.lm_head(states).double().log_softmax(-1)
    np.testing.assert_allclose(found, table[source, target].numpy(), atol=1e-5)
