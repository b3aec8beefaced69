"""What is expected of a rung before it runs: its quote, and a forecast of its score from short trainings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quote:
    """The forecast of a rung, made before it runs."""

    rung: str
    fits: bool
    seconds: float | None = None
    train_rows: int = 0
    epochs: float = 0.0
    train_tokens: int = 0
    dev_rows: int = 0
    test_rows: int = 0
    memory_bytes: int | None = None
    money: float | None = None
    why: str = ""  # why it does not fit, or what was reduced
    train_seconds: float | None = None  # the part of `seconds` that is training
    disk_bytes: int = 0  # needed at most while it runs
    failed: bool = False  # it could not be timed; `why` says what happened
    screened: bool = False  # it was left out after a short training; `why` says what that came to
    low: float | None = None  # range of `seconds` in which the rung is expected to end
    high: float | None = None
    memory_low: int | None = None  # range of `memory_bytes`
    memory_high: int | None = None
    answer_seconds: float | None = None  # the part of `seconds` that is answering the test rows
    race_seconds: float = 0.0  # the part of `seconds` in which settings are compared before training
    pack_tokens: int = 0  # of a pass in training, where fewer than the plan's have to fit into memory

    @property
    def settled(self) -> bool:
        """Whether a later plan of the same climb cannot change it."""
        return self.failed or self.screened


@dataclass(frozen=True, slots=True)
class Point:
    """What a training on a part of the rows came to."""

    amount: float  # rows or tokens that were trained on, all epochs; 0 for the base without tuning
    score: float  # of the primary metric
    error: float  # standard error of `score`


@dataclass(frozen=True, slots=True)
class Forecast:
    """The score that a full training should reach, from `points`; see `rung.ladder.learning_curve`."""

    value: float  # as likely to be exceeded as not
    low: float  # 80% interval
    high: float
    chance: float | None = None  # of more than the best rung before it; None where it was compared with none
    levels: tuple[float, ...] = ()  # scores that are exceeded with the chances of `learning_curve.CHANCES`
    points: tuple[Point, ...] = ()
    best: str = ""  # that best rung
    bar: float | None = None  # its score on dev, less what choosing the best of many ways on few rows adds
    with_all: tuple[float, float, float] | None = None  # the score with every train row and its 80% interval,
    #                                                     where the budget leaves fewer
