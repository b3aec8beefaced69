"""Contexts for the tests of the ladder: a prepared file, as a climb would hand it to a rung."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rung.ladder import climb as climbing
from rung.ladder.context import Context
from rung.ladder.forecast import Rates, Size, TrainRate, Workload
from rung.ladder.plan import most_of
from rung.ladder.prepare import Prepared
from rung.ladder.rungs import Rung
from rung.ladder.watch import Silent
from rung.records import Result
from rung.run_folder import RunFolder

SLOW = Rates(
    prefill=2000.0,
    decode=100.0,
    train={
        "lora": TrainRate(tokens_per_second=200.0, step_seconds=0.1, attach_seconds=0.5, parameters=2000),
        "full": TrainRate(tokens_per_second=100.0, step_seconds=0.5, attach_seconds=0.5, parameters=20000),
    },
)

WORK = Workload(
    row_tokens=50.0,
    target_tokens=4.0,
    tail_tokens=20.0,
    prefix_tokens=30,
    longest_answer=8,
    label_tokens=0,
    shots={},
    general_tokens=1000,
)
SIZE = Size(dev=20, test=100, train=64, epochs=2.0)


class Saying(Silent):
    """Keeps the lines that are said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def context_of(prepared: Prepared, folder: Path = Path("nowhere"), **changes: Any) -> Context:
    """A context before there is a plan, on speeds that are made up."""
    given: dict[str, Any] = {
        "settings": prepared.settings,
        "task": prepared.task,
        "split": prepared.split,
        "folder": RunFolder(folder),
        "watcher": Silent(),
        "load": lambda: prepared,
        "size": most_of(prepared.settings, prepared.split),
        "forgetting": True,
        "base_name": prepared.base.name,
    }
    context = Context(**given | changes)
    context.speeds = SLOW
    return context


def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the rungs that climbs run from now on."""
    names: list[str] = []
    real = climbing.run_rung

    def spy(context: Context, rung: Rung) -> Result:
        names.append(rung.name)
        return real(context, rung)

    monkeypatch.setattr(climbing, "run_rung", spy)
    return names
