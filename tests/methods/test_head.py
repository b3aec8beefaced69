"""A head's own; what every method promises is in tests/contract, its crossing to PEFT in test_peft_labels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from attaching import LABELS, attach, labelled, loss_of
from rung.compute.ends import ends
from rung.methods import METHODS
from rung.methods.adapter import Adapter
from rung.methods.head import LabelHead
from rung.methods.peft_format import files_of
from rung.train.loss import mean_loss
from rung.train.trainer import Trainer
from rung.train.trunk import Trunk
from tiny_model import distance, random_rows, shake, tiny_model
from training import SETTINGS

ROWS = labelled(random_rows(9, seed=5))


def test_it_begins_with_the_same_chance_for_every_label() -> None:
    model = tiny_model()
    head = attach("head", model)
    (weight,) = head.parameters()
    assert (tuple(weight.shape), bool(weight.any())) == ((3, 32), False)
    assert float(loss_of(head, model, ROWS).detach()) == pytest.approx(9 * torch.tensor(3.0).log().item())


def test_the_loss_is_summed_over_rows_and_a_label_weighs_as_any_other() -> None:
    model = tiny_model(dtype=torch.float64)
    head = LabelHead(model, 3)
    shake([head.weight])
    logits = head.logits(ends(model, [row.ids for row in ROWS])).detach()
    own = [-logits[place].log_softmax(0)[row.label] for place, row in enumerate(ROWS)]
    assert float(head.loss(model, ROWS).detach()) == pytest.approx(float(sum(own)), rel=1e-12)
    assert head.count(ROWS) == 9
    mean = mean_loss(model, ROWS, pack_tokens=40, objective=head)
    assert mean == pytest.approx(float(sum(own)) / 9, rel=1e-12)


def test_in_bf16_the_head_stays_fp32() -> None:
    model = tiny_model(dtype=torch.bfloat16)
    head = LabelHead(model, 3)
    shake([head.weight])
    states = ends(model, [row.ids for row in ROWS])
    truth = torch.tensor([row.label for row in ROWS])
    wanted = cross_entropy(states.float() @ head.weight.T, truth, reduction="sum")
    assert head.loss(model, ROWS).dtype == torch.float32
    assert torch.equal(head.loss(model, ROWS), wanted)


def test_training_over_the_cached_base_is_the_same(tmp_path: Path) -> None:
    model = tiny_model()
    head = attach("head", model)
    shake(head.parameters())
    known = Trunk(model, head.frozen_layers(), [row.ids for row in ROWS], tmp_path)
    objective = head.objective()
    assert objective is not None
    (weight,) = head.parameters()
    found = []
    for below in (known, None):
        objective.loss(model, ROWS[:5], below).backward()  # type: ignore[no-untyped-call]
        assert weight.grad is not None
        found.append(weight.grad.clone())
        weight.grad = None
    assert distance(found[0], found[1]) < 1e-6


def test_the_trainer_lowers_the_loss_of_labels_and_leaves_the_best_head() -> None:
    model = tiny_model()
    head = attach("head", model)
    outcome = Trainer(model, head, ROWS, ROWS, replace(SETTINGS, epochs=8)).run()
    first, *_, last = (point.dev_loss for point in outcome.curve)
    assert first == pytest.approx(1.0986, abs=1e-3)
    assert outcome.best_loss <= last < 0.8 * first
    assert outcome.targets == 8 * len(ROWS)
    trunk, fused = ({one.name: one for one in outcome.mechanisms}[n] for n in ("cached trunk", "fused head"))
    assert trunk.on
    assert fused.why == "labels are learned: the base's own head is not used"
    assert mean_loss(model, ROWS, objective=head.objective()) == pytest.approx(outcome.best_loss)  # type: ignore[arg-type]


def test_its_file_is_a_few_numbers_and_the_names_of_labels() -> None:
    head = attach("head", tiny_model())
    files = files_of(Adapter.of(METHODS["head"], head), "base")
    assert set(files) == {"adapter_config.json", "adapter_model.safetensors", "labels.json", "rung.json"}
    config = json.loads(files["adapter_config.json"])  # type: ignore[arg-type]
    assert (config["task_type"], config["modules_to_save"]) == ("SEQ_CLS", ["score"])
    assert "labels" not in head.applied()
    assert len(LABELS) * 32 == sum(p.numel() for p in head.parameters())
