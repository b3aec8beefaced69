"""The numbers a forecast is made from: sizes, tokens per row, speeds of this machine. No torch, no clock.

training  = tokens / rate + steps * seconds per optimizer step + looks at dev
answering = prompt tokens / prefill rate + answer tokens / decode rate
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rung.config import Settings

STEPS = 64  # few rows are learned from in smaller steps, so that there are about this many
FEWEST_STEP_ROWS, MOST_STEP_ROWS = 4, 16
LOOKS = 5
DEV_LOSS_ROWS = 64


@dataclass(frozen=True, slots=True)
class Size:
    """How much of the data is used: rows of each part, and passes over the train rows."""

    dev: int
    test: int
    train: int
    epochs: float


@dataclass(frozen=True, slots=True)
class Workload:
    """Tokens per row, unless said otherwise."""

    row_tokens: float  # prompt and target of a train row
    target_tokens: float  # of the last answer, the one that is measured
    tail_tokens: float  # of a prompt, after what all prompts share
    prefix_tokens: int  # what all zero-shot prompts share
    longest_answer: int  # limit on new tokens
    label_tokens: int  # read to find the best label of a row; 0 if the task has none
    shots: dict[int, int]  # k -> tokens that all k-shot prompts share; only those that fit the context
    general_tokens: int  # in all texts on which forgetting is measured


@dataclass(frozen=True, slots=True)
class TrainRate:
    """Speed of one method."""

    tokens_per_second: float  # forward and backward
    step_seconds: float  # the optimizer's own work in a step
    attach_seconds: float
    parameters: int


class Speeds(Protocol):
    """What this machine does with this base and these rows: measured (`rung.ladder.quote`) or given."""

    @property
    def prefill(self) -> float:
        """Tokens per second, forward only."""
        ...

    @property
    def decode(self) -> float:
        """Tokens per second, all rows of a full batch together."""
        ...

    @property
    def train(self) -> Mapping[str, TrainRate]:
        """By method."""
        ...


@dataclass(frozen=True, slots=True)
class Rates:
    """Speeds as plain numbers."""

    prefill: float
    decode: float
    train: Mapping[str, TrainRate]


def step_tokens(settings: Settings, work: Workload, rows: int, epochs: float) -> int:
    """Tokens of an optimizer step: as asked, or of 4 to 16 rows, the more rows the more there are to see."""
    wanted = min(MOST_STEP_ROWS, max(FEWEST_STEP_ROWS, rows * epochs / STEPS))
    return settings.batch_tokens or round(wanted * work.row_tokens)


def train_seconds(
    settings: Settings, work: Workload, speeds: Speeds, rate: TrainRate, size: Size, dev_rows: int
) -> float:
    """Training at `rate` on `size`, with looks at the loss of at most `dev_rows` dev rows."""
    tokens = size.train * work.row_tokens * size.epochs
    steps = max(1.0, tokens / step_tokens(settings, work, size.train, size.epochs))
    looks = (LOOKS + 1) * min(DEV_LOSS_ROWS, dev_rows) * work.row_tokens / speeds.prefill
    return rate.attach_seconds + tokens / rate.tokens_per_second + steps * rate.step_seconds + looks


def tuned_answer_seconds(work: Workload, speeds: Speeds, size: Size) -> float:
    """What a tuned model spends on answering test rows, and on measuring what it forgot."""
    drift = 2.5 * work.general_tokens / speeds.prefill
    return drift + size.test * (work.tail_tokens / speeds.prefill + work.target_tokens / speeds.decode)


def allowance(longest: int) -> int:
    """Tokens that an answer may have where the longest target has `longest`: a base writes more than that."""
    return int(longest * 1.5) + 12
