"""A head begins as a probe on the states it reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rung.ladder import head_start
from rung.ladder.label_rows import label_rows
from rung.ladder.options import attach
from rung.ladder.prepare import Prepared
from rung.ladder.watch import Silent
from rung.train.loss import mean_loss


@pytest.mark.parametrize("method", ["head", "head-lora"])
def test_before_the_first_step_it_knows_what_a_probe_knows(prepared: Prepared, method: str) -> None:
    attached = attach(prepared, method)
    try:
        dev = label_rows(prepared, prepared.split.dev)
        objective = attached.objective()
        assert objective is not None
        chance = mean_loss(prepared.base.model, dev, objective=objective)
        assert chance == pytest.approx(np.log(2))
        (choice,) = head_start.begin(prepared, attached, prepared.split.train, Silent())
        assert mean_loss(prepared.base.model, dev, objective=objective) < 0.7 * chance
        losses = {float(c): loss for c, loss in choice.tried.items()}
        assert float(choice.chosen) == min(losses, key=lambda c: losses[c] or 0.0)
    finally:
        attached.detach()


def test_it_is_the_same_every_time(prepared: Prepared) -> None:
    found = []
    for _ in range(2):
        attached = attach(prepared, "head")
        head_start.begin(prepared, attached, prepared.split.train, Silent())
        found.append(attached.state()["score.weight"])
        attached.detach()
    assert torch.equal(found[0], found[1])


def test_other_methods_stay_as_they_are(prepared: Prepared) -> None:
    attached = attach(prepared, "lora")
    before = attached.state()
    assert head_start.begin(prepared, attached, prepared.split.train, Silent()) == ()
    assert all(torch.equal(value, before[name]) for name, value in attached.state().items())
    attached.detach()


@pytest.mark.parametrize("rows", [40, 400])  # fewer than columns, and more
def test_a_bias_goes_into_the_weights(prepared: Prepared, rows: int) -> None:
    """Labels that only a bias tells apart: they stand on both sides of a point far from 0."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=64) * 5
    found = common + rng.normal(size=(rows, 64))
    truth = (found[:, 0] > np.median(found[:, 0])).astype(np.int_)
    examples = [prepared.split.train[i % 100] for i in range(rows)]
    weights, _ = head_start.fit(examples, found, truth, 2, seed=0)
    assert ((found @ weights.T).argmax(1) == truth).mean() > 0.95


def test_a_label_without_rows_is_never_the_answer(prepared: Prepared) -> None:
    rng = np.random.default_rng(0)
    found = 3.0 + rng.normal(size=(60, 8))
    truth = (found[:, 0] > 3).astype(np.int_) * 2
    weights, choices = head_start.fit(prepared.split.train[:60], found, truth, 3, seed=0)
    logits = found @ weights.T
    assert (logits.argmax(1) == truth).mean() > 0.9
    assert (logits[:, 1] < -20).all()
    assert [choice.name for choice in choices] == ["C of the first head"]


def test_with_a_few_rows_nothing_is_chosen(prepared: Prepared) -> None:
    found = np.eye(6) + 1
    weights, choices = head_start.fit(prepared.split.train[:6], found, np.arange(6) % 2, 2, seed=0)
    assert choices == ()
    assert np.isfinite(weights).all()
