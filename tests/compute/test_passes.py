"""Passes are made with the right tokens, positions and places."""

from __future__ import annotations

import torch

from rung.compute import body
from rung.compute.attention import Prefix
from rung.compute.passes import over_segments, over_tree, tree_of
from tiny_model import distance, tiny_model

SHARED = list(range(10, 20))


def test_over_a_tree() -> None:
    model = tiny_model()
    tree = tree_of(model, [[*SHARED, 50], [*SHARED, 60, 61]])
    one = over_tree(model, tree, torch.tensor([10]))
    assert one.ids.tolist() == [[*SHARED, 50, 60, 61]]
    assert one.positions.tolist() == [[*range(10), 10, 10, 11]]
    assert body.hidden_states(model, one).shape == (1, 32)


def test_over_segments_after_kept_keys() -> None:
    model = tiny_model()
    with torch.no_grad():
        first, kept = over_segments(model, [SHARED], keep=True)
        body.hidden_states(model, first)
        one, layout = over_segments(model, [[50], [60, 61]], Prefix(kept.keys, kept.values), ends=True)
        assert one.ids.tolist() == [[50, 60, 61]]
        assert one.positions.tolist() == [[10, 10, 11]]
        assert layout.lengths == [1, 2]
        whole = [
            body.hidden_states(model, over_segments(model, [[*SHARED, *row]])[0])[-1]
            for row in ([50], [60, 61])
        ]
        assert distance(body.hidden_states(model, one), torch.stack(whole)) < 1e-5


def test_a_prefix_after_another() -> None:
    one = Prefix([torch.zeros(1, 2, 3, 4)], [torch.zeros(1, 2, 3, 4)])
    two = Prefix([torch.ones(1, 2, 5, 4)], [torch.ones(1, 2, 5, 4)])
    both = two.after(one)
    assert both.length == 8
    assert both.keys[0][0, 0, :, 0].tolist() == [0] * 3 + [1] * 5
    assert two.after(None) is two
