"""A head over LoRA: what is its own; the promises are in tests/contract."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from attaching import attach, labelled, loss_of
from rung.methods.slots import slots_of
from rung.train.trainer import Trainer
from tiny_model import distance, gradients, random_rows, shake, tiny_model
from training import SETTINGS

ROWS = labelled(random_rows(9, seed=5))
GIVEN = {"rank": 4, "alpha": 8.0}


def test_the_head_has_its_own_rate_and_lora_plus_stays() -> None:
    found = attach("head-lora", tiny_model(), **GIVEN, lora_plus=4.0, head_rate=0.5)
    assert found.rates() == [*[1.0, 4.0] * 14, 0.5]
    assert list(found.named())[-1] == "score.weight"


def test_of_the_top_layers_alone_those_below_are_frozen() -> None:
    assert attach("head-lora", tiny_model(), **GIVEN, top_layers=1).frozen_layers() == 1


def test_rows_that_share_a_beginning_have_the_gradients_of_rows_alone() -> None:
    begin = tuple(range(10, 22))
    rows = [replace(row, ids=begin + row.ids, mask=(False,) * 12 + row.mask) for row in ROWS]
    found = []
    for together in (True, False):
        model = tiny_model(dtype=torch.float64)
        attached = attach("head-lora", model, **GIVEN)
        shake(attached.parameters())
        attached.updated()
        objective = attached.objective()
        assert objective is not None
        for some in [rows] if together else [[row] for row in rows]:
            objective.loss(model, some).backward()  # type: ignore[no-untyped-call]
        found.append(gradients(attached.parameters()))
    assert max(distance(one, other) for one, other in zip(*found, strict=True)) < 1e-10


def test_off_the_base_is_plain_and_on_again_it_learns_on() -> None:
    model = tiny_model()
    attached = attach("head-lora", model, **GIVEN)
    shake(attached.parameters())
    attached.updated()
    before = float(loss_of(attached, model, ROWS).detach())
    with attached.disabled():
        assert slots_of(model).held is None
        assert float(loss_of(attached, model, ROWS).detach()) != pytest.approx(before, rel=1e-3)
    assert slots_of(model).held is attached
    assert float(loss_of(attached, model, ROWS).detach()) == before


def test_it_learns_what_a_head_alone_cannot() -> None:
    """Random rows with random labels: the last states of an untrained base do not hold them."""
    best = {}
    rows = labelled(random_rows(60, seed=5))
    for name in ("head", "head-lora"):
        model = tiny_model()
        settings = replace(SETTINGS, epochs=12, learning_rate=1e-2)
        best[name] = Trainer(model, attach(name, model, **GIVEN), rows, rows, settings).run().best_loss
    assert best["head-lora"] < 0.5 * best["head"]
