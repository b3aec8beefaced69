"""DPO: loss and gradient are those of the formula and of TRL, and a stopped training repeats itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from attaching import attach
from preferring import plain_dpo, plain_margins, random_pairs, row_of
from rung.data.pairs import pair, texts
from rung.errors import ResumeError
from rung.train import dpo
from rung.train.dpo import Dpo, reference
from rung.train.loss import mean_loss
from rung.train.trainer import Trainer
from tiny_model import copy_of, distance, gradients, same_bytes, shake, tiny_model
from training import SETTINGS, Killed, Run, without_time

PAIRS = random_pairs(10, seed=3)


def values(found: dict[str, float]) -> list[float]:
    return [found[one.example_id] for one in PAIRS]


def test_the_loss_of_a_pair_worked_by_hand() -> None:
    model = tiny_model(dtype=torch.float64)
    one = PAIRS[0]
    margin = float(plain_margins(model, [one])[0])
    loss = Dpo(0.5, reference={one.example_id: margin - 2.0})
    assert float(loss.loss(model, [one])) == pytest.approx(math.log(1 + math.exp(-0.5 * 2.0)))
    assert loss.count([one, one]) == 2
    assert float(Dpo(0.5, reference={one.example_id: margin}).loss(model, [one])) == pytest.approx(
        math.log(2)
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_losses_are_those_of_each_answer_read_alone(smoothing: float) -> None:
    model = tiny_model()
    known = {one.example_id: 0.3 * number - 1 for number, one in enumerate(PAIRS)}
    loss = Dpo(0.1, smoothing, known)
    wanted = plain_dpo(plain_margins(model, PAIRS), torch.tensor(values(known)), 0.1, smoothing)
    assert float(loss.loss(model, PAIRS)) == pytest.approx(float(wanted.sum()), abs=1e-5)
    assert loss.each(model, PAIRS) == pytest.approx(wanted.tolist(), abs=1e-5)
    assert mean_loss(model, PAIRS, 60, objective=loss) == pytest.approx(float(wanted.mean()), abs=1e-5)


@pytest.mark.parametrize("name", ["lora", "dora", "full", "bitfit"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_gradients_are_those_of_each_answer_read_alone(name: str, smoothing: float) -> None:
    """With what the answers share computed once, and through the head's own gradient."""

    def ours(model: Any) -> Tensor:
        return Dpo(0.5, smoothing).loss(model, PAIRS)

    def plain(model: Any) -> Tensor:
        return plain_dpo(plain_margins(model, PAIRS), torch.zeros(len(PAIRS)), 0.5, smoothing).sum()

    (one, own), (two, other) = (trained(name, *way) for way in (("rung", ours), ("sdpa", plain)))
    assert one == pytest.approx(two, rel=1e-5)
    assert distance(own, other) < 1e-5


def test_gradients_of_keys_before_every_row_are_those_of_each_pair_alone() -> None:
    whole, own = trained("prefix", "rung", lambda model: Dpo(0.5).loss(model, PAIRS))
    alone, other = trained("prefix", "rung", lambda model: sum(Dpo(0.5).loss(model, [one]) for one in PAIRS))
    assert whole == pytest.approx(alone, rel=1e-5)
    assert distance(own, other) < 1e-5


def trained(name: str, attention: str, loss_of: Callable[[Any], Any]) -> tuple[float, Tensor]:
    """The loss with the method called `name`, away from its start, and all gradients in one vector."""
    model = tiny_model(attention=attention)
    attached = attach(name, model, rank=4, alpha=8.0)
    parameters = attached.parameters()
    shake(parameters)
    attached.updated()
    loss = loss_of(model)
    loss.backward()
    return loss.item(), torch.cat([one.flatten() for one in gradients(parameters)])


def test_the_loss_is_that_of_trl(tmp_path: Path) -> None:
    """On TRL's own batches: its tokens, its masks, its reference model."""
    trl = pytest.importorskip("trl")
    from datasets import Dataset

    from rung.bases.tiny import tiny

    base, tuned = tiny(), tiny().model
    shake(tuned.parameters(), size=0.02)
    rows = [
        {
            "prompt": f"Ask {i // 2}: where is it? ",
            "chosen": f"It is in box {i}.",
            "rejected": "No idea" * (i + 1),
        }
        for i in range(6)
    ]
    args = trl.DPOConfig(
        output_dir=str(tmp_path),
        beta=0.3,
        per_device_train_batch_size=6,
        report_to=[],
        use_cpu=True,
        bf16=False,
    )
    theirs = trl.DPOTrainer(
        tuned, base.model, args, train_dataset=Dataset.from_list(rows), processing_class=base.tokenizer
    )
    batch = next(iter(theirs.get_train_dataloader()))
    theirs.model.eval()
    wanted = float(theirs.compute_loss(theirs.model, dict(batch)))
    pairs = []
    both = zip(batch["input_ids"], batch["attention_mask"], batch["completion_mask"], strict=True)
    found = [(ids[there == 1].tolist(), int(own.sum())) for ids, there, own in both]
    for number, (one, other) in enumerate(zip(found[:6], found[6:], strict=True)):
        chosen, rejected = (row_of(f"{number}", tuple(ids[:-n]), tuple(ids[-n:])) for ids, n in (one, other))
        pairs.append(pair(chosen, rejected))
    ours = Dpo(0.3, reference=reference(base.model, pairs))
    assert mean_loss(tuned, pairs, objective=ours) == pytest.approx(wanted, abs=1e-5)


def test_the_reference_is_what_the_model_says_now() -> None:
    model = tiny_model()
    assert values(reference(model, PAIRS)) == pytest.approx(plain_margins(model, PAIRS).tolist(), abs=1e-4)


def test_the_reference_is_read_again_where_the_pairs_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model()
    first = reference(model, PAIRS, tmp_path)
    monkeypatch.setattr(dpo, "row_losses", lambda *_: pytest.fail("computed again"))
    assert reference(model, PAIRS, tmp_path) == first
    monkeypatch.undo()
    assert reference(model, PAIRS[:4], tmp_path).keys() == {one.example_id for one in PAIRS[:4]}


def test_a_damaged_reference_is_refused(tmp_path: Path) -> None:
    (tmp_path / dpo.FILE).write_text("{")
    with pytest.raises(ResumeError):
        reference(tiny_model(), PAIRS, tmp_path)


def test_a_row_that_is_no_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="without a rejected answer"):
        Dpo().loss(tiny_model(), [PAIRS[0].other])


def preferring(folder: Path | None = None, name: str = "lora", **changes: Any) -> Run:
    """A training on pairs, with the reference next to the checkpoints."""
    model = tiny_model()
    loss = Dpo(0.3, reference=reference(model, PAIRS, folder))
    attached = attach(name, model, rank=4, alpha=8.0)
    settings = replace(SETTINGS, pack_tokens=80, step_tokens=120, **changes)
    trainer = Trainer(model, attached, PAIRS, PAIRS[:4], settings, folder, loss=loss)
    return Run(model, attached, trainer)


@pytest.mark.parametrize("name", ["lora", "dora", "full", "ia3"])
def test_training_prefers_the_chosen_answers_and_leaves_the_base_alone(name: str) -> None:
    run = preferring(name=name, epochs=6)
    outcome = run.go()
    assert outcome.curve[0].dev_loss == pytest.approx(math.log(2), abs=1e-4)
    assert outcome.best_loss < 0.6
    assert outcome.targets == 6 * len(PAIRS)
    run.attached.detach()
    assert same_bytes(copy_of(run.model), copy_of(tiny_model()))


@pytest.mark.parametrize("name", ["lora", "full"])
def test_a_run_that_was_killed_ends_with_the_same_bytes(
    tmp_path: Path, name: str, clock: SimpleNamespace
) -> None:
    whole = preferring(tmp_path / "whole", name)
    outcome = whole.go()
    with pytest.raises(Killed):
        preferring(tmp_path / "killed", name).go(kill_at=outcome.steps - 1)
    again = preferring(tmp_path / "killed", name)
    resumed = again.go()
    assert any("continued from the checkpoint" in note for note in resumed.notes)
    assert same_bytes(whole.attached.state(), again.attached.state())
    assert without_time(resumed) == without_time(outcome)


def test_another_beta_is_another_training(tmp_path: Path, clock: SimpleNamespace) -> None:
    with pytest.raises(Killed):
        preferring(tmp_path).go(kill_at=4)
    other = preferring(tmp_path)
    other.trainer.objective = Dpo(0.7, reference=other.trainer.objective.reference)  # type: ignore[attr-defined]
    with pytest.raises(ResumeError, match="other data or settings"):
        other.go()


def test_pairs_that_share_a_prompt_share_its_computation() -> None:
    outcome = preferring(epochs=1).go()
    shared = next(one for one in outcome.mechanisms if one.name == "shared prefixes")
    assert shared.on
    assert outcome.tokens < sum(len(row.ids) for row in texts(PAIRS))
