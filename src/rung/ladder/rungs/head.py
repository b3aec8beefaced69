"""The tuned rungs with a classifier head: they learn the labels of a task, and answer in one pass."""

from __future__ import annotations

from rung.ladder.context import Context
from rung.ladder.rungs.tune import TuneRung
from rung.records import Task

_FIT_SECONDS, _ROW_SECONDS = 1.0, 0.001  # cross-validation and the fit of the first head


class HeadRung(TuneRung):
    """Tuning with a method that learns labels."""

    def applies(self, task: Task) -> bool:
        return bool(task.labels)

    def answer_seconds(self, context: Context) -> float:
        return context.size.test * context.work.tail_tokens / context.speeds.prefill

    def start_seconds(self, context: Context) -> float:
        """Of the probe that the head begins as: every train row is read once."""
        row = context.work.tail_tokens / context.speeds.prefill + _ROW_SECONDS
        return _FIT_SECONDS + context.size.train * row
