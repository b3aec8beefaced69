"""A clock for training runs."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from rung import storage
from rung.train import optim, trainer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Time stands still but for the ten seconds that each step takes."""
    ticking = SimpleNamespace(now=0.0)
    scale = optim.scale_gradients

    def slow(*args: Any) -> None:
        ticking.now += 10
        scale(*args)

    monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=lambda: ticking.now))
    monkeypatch.setattr(optim, "scale_gradients", slow)
    yield ticking
    storage.fault = None
