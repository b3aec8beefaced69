"""A training run of a second that can be killed at any step, for tests of the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from attaching import attach, labelled
from bridged import SMALL
from rung.methods import METHODS
from rung.methods.method import Attached
from rung.records import Rendered
from rung.train import optim, trainer
from rung.train.trainer import Outcome, Trainer, TrainSettings
from tiny_model import random_rows, tiny_model

ROWS = random_rows(16, seed=4)
SETTINGS = TrainSettings(
    learning_rate=5e-3,
    epochs=3,
    step_tokens=50,
    pack_tokens=30,
    max_grad_norm=5.0,
    evaluations=4,
    checkpoint_seconds=20,
)
KINDS = [("lora", torch.float32), ("full", torch.float32), ("lora", torch.bfloat16), ("full", torch.bfloat16)]


class Killed(BaseException):
    """Stands for a kill: no handler of the loop may catch it and save."""


@dataclass
class Run:
    """A trainer with what it works on."""

    model: PreTrainedModel
    attached: Attached
    trainer: Trainer

    def go(self, kill_at: int | None = None) -> Outcome:
        """Train; at step `kill_at` the process dies, between the backward pass and the update."""
        check = optim.require_finite

        def die(loss: float, norm: float, parameters: Any, step: int) -> None:
            if step == kill_at:
                raise Killed
            check(loss, norm, parameters, step)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(optim, "require_finite", die)
            return self.trainer.run()


def make(
    folder: Path | None = None,
    name: str = "lora",
    dtype: torch.dtype = torch.float32,
    rows: list[Rendered] = ROWS,
    dev: list[Rendered] = ROWS[:6],
    listener: trainer.Listener | None = None,
    options: Mapping[str, Any] | None = None,
    judge: Callable[[], float] | None = None,
    slack: float = 0.0,
    **changes: Any,
) -> Run:
    """Full fine-tuning gets the lower rate it needs."""
    settings = replace(SETTINGS, **changes)
    if name == "full" and "learning_rate" not in changes:
        settings = replace(settings, learning_rate=2e-3)
    if METHODS.classifies(name) and rows[0].label is None:
        rows, dev = labelled(rows), labelled(dev)
    model = tiny_model(dtype=dtype)
    attached = attach(name, model, **{"rank": 4, "alpha": 8.0, **SMALL.get(name, {}), **(options or {})})
    made = Trainer(model, attached, rows, dev, settings, folder, listener, judge=judge, slack=slack)
    return Run(model, attached, made)


def without_time(outcome: Outcome) -> dict[str, Any]:
    """What two runs must agree on."""
    facts = asdict(outcome)
    del facts["seconds"], facts["notes"]
    for point in facts["curve"]:
        del point["seconds"]
    return facts
