"""The numbers a forecast is made from: sizes, tokens per row, speeds of this machine. No torch, no clock.

training  = tokens / rate + steps * seconds per optimizer step + seconds of measuring dev loss
answering = prompt tokens / prefill rate + answer tokens / decode rate
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from rung.config import Settings

STEPS = 128  # few rows are learned from in smaller steps, so that there are about this many
FEWEST_STEP_ROWS, MOST_STEP_ROWS = 2, 16
EVALUATIONS = 5  # times that dev loss is measured while training, after the first time before it
EVALUATION_SHARE = 0.15  # of the training time that these may take
FEWEST_EVALUATION_ROWS, MOST_EVALUATION_ROWS = 16, 64  # dev rows
JUDGED_SHARE = 0.1  # of the training time that answering dev rows at all these times may take
FEWEST_JUDGED_ROWS, MOST_JUDGED_ROWS = 24, 64  # dev rows; on fewer a metric says little
MOST_CHOOSING_ROWS = 96  # dev rows on which a tuned model's way of answering is chosen
_MOST_PICKING = 3.0  # times as long as writing: under a budget, slower picking is not tried
_WRITTEN = 3.0  # tokens that are read in the time in which one is written
_LABELS = 2.5  # times `Workload.label_tokens`, which is what a search reads: the whole tree of labels


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
    longest_prompt: int = 0  # of the test rows
    constrained: bool = False  # whether answers can be kept to the task's form
    pair_tokens: float = 0.0  # of a preference pair: prompt, chosen and rejected answer; 0 without pairs
    text_tokens: float = 0.0  # of documents, in all of them, over the number of train rows

    @property
    def in_pairs(self) -> Workload:
        """The same where a train row is a pair."""
        return replace(self, row_tokens=self.pair_tokens) if self.pair_tokens else self

    @property
    def trained_tokens(self) -> float:
        """What is trained on for each train row: its own tokens, and its share of the documents."""
        return self.row_tokens + self.text_tokens


@dataclass(frozen=True, slots=True)
class TrainRate:
    """Speed of one method."""

    tokens_per_second: float  # forward and backward
    step_seconds: float  # the optimizer's own work in a step
    attach_seconds: float
    parameters: int
    forget_seconds: float = 0.0  # a token of the texts on which forgetting is measured
    spread: float = 0.0  # of the timings, as in `Rates`
    peak_bytes: int = 0  # that the steps took above what the process held before; 0: not measured
    held_bytes: int = 0  # of them, what is held before the first step and while answers are written
    pass_tokens: int = 0  # that the largest pass of these steps computed
    pass_share: float = 1.0  # of a row's tokens that a pass computes: beginnings are shared
    trunk_seconds: float = 0.0  # once for a token of the rows, where its first layers are computed only once


@dataclass(frozen=True, slots=True)
class Rates:
    """Speeds as plain numbers, as they are kept in plan.json; 0 for what was not timed."""

    prefill: float  # tokens per second, forward only
    decode: float  # tokens per second, all rows of a full batch together
    score: float = 0.0  # seconds a row for finding the best label, reading the row included
    train: Mapping[str, TrainRate] = field(default_factory=dict)  # by method
    spread: float = 0.0  # of the timings of reading and writing, as a share of their median

    def rates(self) -> Rates:
        """These numbers."""
        return self

    def slower(self, training: float, answering: float) -> Rates:
        """The same machine with all times of training, and all of answering, multiplied."""
        train = {name: _slower(rate, training) for name, rate in self.train.items()}
        return replace(
            self,
            prefill=self.prefill / answering,
            decode=self.decode / answering,
            score=self.score * answering,
            train=train,
        )


class Speeds(Protocol):
    """What this machine does with this base and these rows: measured (`rung.ladder.quote`) or given."""

    @property
    def prefill(self) -> float: ...

    @property
    def decode(self) -> float: ...

    @property
    def score(self) -> float: ...

    @property
    def train(self) -> Mapping[str, TrainRate]: ...

    @property
    def spread(self) -> float: ...

    def rates(self) -> Rates:
        """What is known so far."""
        ...

    def slower(self, training: float, answering: float) -> Speeds:
        """See `Rates.slower`."""
        ...


def _slower(rate: TrainRate, times: float) -> TrainRate:
    return replace(
        rate,
        tokens_per_second=rate.tokens_per_second / times,
        step_seconds=rate.step_seconds * times,
        forget_seconds=rate.forget_seconds * times,
        attach_seconds=rate.attach_seconds * times,
        trunk_seconds=rate.trunk_seconds * times,
    )


def step_tokens(settings: Settings, work: Workload, rows: int, epochs: float) -> int:
    """Tokens of an optimizer step: as asked, or of 2 to 16 rows, more for a longer training."""
    wanted = min(MOST_STEP_ROWS, max(FEWEST_STEP_ROWS, rows * epochs / STEPS))
    return settings.batch_tokens or round(wanted * work.trained_tokens)


def evaluation_rows(rows: int, epochs: float) -> int:
    """Dev rows on which dev loss is measured each time, in a training on `rows` for `epochs`.

    As many as keep all measurements within `EVALUATION_SHARE` of the training; a token costs three times as
    much there.
    """
    wanted = round(EVALUATION_SHARE * 3 * rows * epochs / (EVALUATIONS + 1))
    return min(MOST_EVALUATION_ROWS, max(FEWEST_EVALUATION_ROWS, wanted))


def judged_rows(work: Workload, rows: int, epochs: float, dev_rows: int) -> int:
    """Dev rows that are answered at each look at dev, in a training on `rows` for `epochs`; 0: too few.

    As many as keep all looks within `JUDGED_SHARE` of the training. Tokens alone decide, so the same rows
    give the same number on every machine. A token costs three times as much in training as where it is read.
    """
    answer = _label_cost(work) if work.label_tokens else _WRITTEN * work.target_tokens
    affordable = JUDGED_SHARE * 3 * rows * epochs * work.trained_tokens / (work.tail_tokens + answer)
    found = min(int(affordable / (EVALUATIONS + 1)), MOST_JUDGED_ROWS, dev_rows)
    return found if found >= FEWEST_JUDGED_ROWS else 0


def labels_cheaper(work: Workload) -> bool:
    """Whether to pick a label by likelihood is cheaper than to write the answer, by their tokens."""
    return 0 < _label_cost(work) <= _WRITTEN * work.target_tokens


def _label_cost(work: Workload) -> float:
    return _LABELS * work.label_tokens


def train_seconds(
    settings: Settings, work: Workload, speeds: Speeds, rate: TrainRate, size: Size, dev_rows: int
) -> float:
    """Seconds of training at `rate` on `size`, measuring dev loss on at most `dev_rows` dev rows."""
    tokens = size.train * work.trained_tokens * size.epochs
    steps = max(1.0, tokens / step_tokens(settings, work, size.train, size.epochs))
    rows = min(evaluation_rows(size.train, size.epochs), dev_rows)
    measuring = (EVALUATIONS + 1) * rows * work.row_tokens / speeds.prefill
    kept = size.train * work.trained_tokens + rows * work.row_tokens
    once = rate.attach_seconds + kept * rate.trunk_seconds
    return once + tokens / rate.tokens_per_second + steps * rate.step_seconds + measuring


def picks_in_time(work: Workload, speeds: Speeds) -> bool:
    """Whether to pick a label by likelihood takes at most `_MOST_PICKING` times as long as to write it."""
    return speeds.score <= _MOST_PICKING * _writing(work, speeds)


def tuned_answer_seconds(work: Workload, speeds: Speeds, size: Size, picks: bool = False) -> float:
    """Seconds that a tuned model takes to answer the test rows; if it `picks` labels, in the slower way."""
    return size.test * max(_writing(work, speeds), speeds.score if picks else 0.0)


def preferring_seconds(work: Workload, speeds: Speeds, rows: int) -> float:
    """Seconds that a tuned model and its base take to read both answers of `rows` pairs."""
    return 2 * rows * work.pair_tokens / speeds.prefill


def choosing_seconds(work: Workload, speeds: Speeds, size: Size) -> float:
    """Seconds of answering dev rows in both ways."""
    return min(size.dev, MOST_CHOOSING_ROWS) * (_writing(work, speeds) + speeds.score)


def judging_seconds(work: Workload, speeds: Speeds, rows: int) -> float:
    """Seconds of answering `rows` dev rows at every look at dev while training."""
    return (EVALUATIONS + 1) * rows * (speeds.score if work.label_tokens else _writing(work, speeds))


def judged_in_time(work: Workload, speeds: Speeds, training: float) -> int:
    """Dev rows whose answers at all looks take `JUDGED_SHARE` of `training` seconds on this machine."""
    row = judging_seconds(work, speeds, 1)
    return int(JUDGED_SHARE * training / row) if row > 0 else MOST_JUDGED_ROWS


def _writing(work: Workload, speeds: Speeds) -> float:
    """Seconds of reading a row and writing its answer."""
    return work.tail_tokens / speeds.prefill + work.target_tokens / speeds.decode


def allowance(longest: int) -> int:
    """Tokens that an answer may have where the longest target has `longest`: a base writes more than that."""
    return int(longest * 1.5) + 12
