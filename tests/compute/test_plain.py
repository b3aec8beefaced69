"""The plain path gives what the others give: packs, trees, decoding, scoring, features and gradients."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from rung.bases.base import OWN_ATTENTION, Base
from rung.compute import body, plain
from rung.compute.attention import Packed, Prefix, positions
from rung.compute.load import tiny
from rung.compute.passes import Pass
from rung.compute.tree import build
from rung.generate import states
from rung.generate.choose import best_choices, log_likelihoods
from rung.generate.engine import Engine
from rung.records import Rendered
from rung.train.loss import pack_loss
from tiny_model import distance, gradients, random_rows, tiny_model

CHOICES = [(70, 71, 72, 2), (70, 71, 2), (70, 2), (80, 2), (80, 81, 82, 83, 84, 2), (90,), (70, 71, 72, 2)]


def on_plain(model: PreTrainedModel) -> PreTrainedModel:
    model.set_attn_implementation(OWN_ATTENTION)
    body.refuse(model, "for a test")
    return model


def both() -> tuple[Base, Base]:
    """The same base on the fused path and on the plain one."""
    slow = tiny()
    on_plain(slow.model)
    return tiny(), slow


def ragged(shared: int, n: int = 9) -> list[list[int]]:
    draw = random.Random(shared)
    start = [draw.randrange(40, 259) for _ in range(shared)]
    return [start + [draw.randrange(40, 259) for _ in range(draw.randint(1, 30))] for _ in range(n)]


def test_it_is_used_where_the_attention_is_the_models_own() -> None:
    assert plain.is_used(tiny_model(attention="eager"))
    assert not plain.is_used(tiny_model())


@pytest.mark.parametrize("shared", [0, 9])
@pytest.mark.parametrize("limit", [1, 40, 4096])
def test_packs_after_a_kept_prefix(shared: int, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "PASS_TOKENS", limit)
    lengths = [5, 1, 12, 7]
    draw = torch.Generator().manual_seed(0)
    front, ids = (torch.randint(3, 99, (1, n), generator=draw) for n in (shared, sum(lengths)))
    found = []
    for model in (tiny_model(), on_plain(tiny_model())):
        prefix = None
        if shared:
            first = Packed([shared], keep=True)
            body.hidden_states(model, Pass(front, positions([shared]), first))
            prefix = Prefix(first.keys, first.values)
            assert prefix.length == shared
        at = positions(lengths, shared)
        wanted = torch.tensor([0, 3, 3, 24])
        found.append(body.hidden_states(model, Pass(ids, at, Packed(lengths, prefix), wanted)))
    assert distance(found[1], found[0]) < 1e-5


@pytest.mark.parametrize("limit", [1, 60, 4096])
def test_loss_and_gradients_of_rows_with_common_beginnings(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts, which are computed again in the backward pass, as well as at once."""
    monkeypatch.setattr(plain, "PASS_TOKENS", limit)
    rows = random_rows(8, seed=1)
    front = rows[0].ids
    rows += [Rendered("", front + row.ids, (False,) * len(front) + row.mask) for row in rows]
    found = []
    for model in (tiny_model(), on_plain(tiny_model())):
        model.requires_grad_(True)
        loss = pack_loss(model, rows)
        loss.backward()  # type: ignore[no-untyped-call]
        found.append((loss.detach(), gradients(list(model.parameters()))))
    (fast, fast_gradients), (slow, slow_gradients) = found
    assert distance(slow, fast) < 1e-6
    for mine, other in zip(slow_gradients, fast_gradients, strict=True):
        assert distance(mine, other) < 1e-4


def test_a_tree_is_written_out_as_its_longest_rows() -> None:
    a, b = tuple(range(3, 15)), tuple(range(20, 26))
    tree = build([a, a + b, a + b[::-1], b])
    whole = tree.whole(torch.tensor([tree.ids]))
    rows = sorted(tuple(row[:n].tolist()) for row, n in zip(whole.ids, whole.lengths, strict=True))
    assert rows == sorted([a + b, a + b[::-1], b])
    assert whole.ids[whole.row, whole.at].tolist() == tree.ids


@pytest.mark.parametrize("shared", [0, 25, 70])
@pytest.mark.parametrize("rows", [1, 4])
def test_it_says_the_same(shared: int, rows: int) -> None:
    fast, slow = (
        Engine(base, rows).generate(ragged(shared), max_new_tokens=6, stop_ids=(2, 77)) for base in both()
    )
    assert slow == fast


@pytest.mark.parametrize("shared", [0, 30])
def test_it_scores_the_same(shared: int) -> None:
    fast, slow = both()
    prompts = ragged(shared)
    scores = log_likelihoods(fast, prompts, CHOICES)
    np.testing.assert_allclose(log_likelihoods(slow, prompts, CHOICES), scores, atol=1e-5, rtol=0)
    corrections = np.stack([np.zeros(7), np.linspace(0, 3, 7)])
    assert (
        best_choices(slow, prompts, CHOICES, corrections) == (scores + corrections[:, None]).argmax(2)
    ).all()


def test_it_reads_the_same_features() -> None:
    rows = ragged(20)
    own = [range(len(row)) for row in rows]
    fast, slow = (states.read(base, rows, own, [1, 2]) for base in both())
    assert distance(slow.mean, fast.mean) < 1e-5
    assert distance(slow.last, fast.last) < 1e-5


def test_layers_are_found_by_their_number() -> None:
    model = tiny_model()
    assert [type(layer).__name__ for layer in plain.decoder_layers(model)] == ["LlamaDecoderLayer"] * 2
    model.base_model.layers = nn.Sequential(*model.base_model.layers)
    with pytest.raises(ValueError, match="no list of 2 decoder layers"):
        plain.decoder_layers(model)
