"""What a training run is given and what it leaves: plain values, without a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rung.records import CurvePoint, Mechanism


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """The values of a training run."""

    learning_rate: float
    epochs: float
    step_tokens: int  # tokens per optimizer step, prompt tokens included
    pack_tokens: int = 1024  # tokens per forward pass
    warmup: float = 0.06
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    seed: int = 0
    evaluations: int = 5  # measurements of dev loss, spread evenly
    checkpoint_seconds: float = 60.0
    limit_seconds: float | None = None  # training stops here, with the best state so far
    patience: int | None = None  # looks at dev with a rising loss after which it stops early; None: never
    guarded: bool = False  # whether it stops at the first look where it has made the base worse


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a training run did."""

    steps: int
    planned_steps: int
    best_step: int
    best_loss: float  # dev, nats per target: a token, or a label
    tokens: int
    targets: int
    seconds: float
    curve: tuple[CurvePoint, ...]
    notes: tuple[str, ...] = ()
    mechanisms: tuple[Mechanism, ...] = ()
    early: bool = False  # whether it stopped because the loss on dev was rising
    hurt: bool = False  # whether it was guarded and stopped, since it had made the base worse


@dataclass(frozen=True, slots=True)
class StepTime:
    """How long one optimizer step took."""

    tokens: int
    passes: float  # seconds of forward and backward passes
    update: float  # seconds of the rest: clipping and the optimizer

    @property
    def seconds(self) -> float:
        return self.passes + self.update


class Listener(Protocol):
    """Is called after every step."""

    def step(
        self, done: int, total: int, loss: float, tokens_per_second: float, seconds_left: float
    ) -> None: ...
