"""The values of a training: what a step took, and that settings cannot be changed on the way."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from rung.train import settings, trainer
from rung.train.settings import StepTime, TrainSettings


def test_a_step_takes_its_passes_and_its_update() -> None:
    assert StepTime(100, 2.0, 0.5).seconds == 2.5


def test_settings_stay_as_they_are() -> None:
    made = TrainSettings(learning_rate=1e-3, epochs=1.0, step_tokens=10)
    with pytest.raises(FrozenInstanceError):
        made.epochs = 2.0  # type: ignore[misc]


def test_the_loop_has_them_under_its_own_name() -> None:
    assert trainer.TrainSettings is settings.TrainSettings
    assert trainer.Outcome is settings.Outcome
