"""The tuned rungs with a classifier head: they learn the labels of a task, and answer in one pass."""

from __future__ import annotations

from rung.ladder.context import Context
from rung.ladder.forecast import Size, TrainRate, evaluation_rows, step_tokens
from rung.ladder.rungs.tune import FEWEST_TEXTS, TuneRung
from rung.methods.table import METHODS
from rung.records import Task

_FIT_SECONDS, _ROW_SECONDS = 1.0, 0.001  # cross-validation and the fit of the first head


class HeadRung(TuneRung):
    """Tuning with a method that learns labels."""

    def applies(self, task: Task) -> bool:
        return bool(task.labels)

    def train_seconds(self, context: Context, rate: TrainRate) -> float:
        if not self._reads_once(context):
            return super().train_seconds(context, rate)
        size, tokens = context.size, context.work.row_tokens
        rows = size.train + min(evaluation_rows(size.train, size.epochs), size.dev)
        steps = (
            size.train
            * tokens
            * size.epochs
            / step_tokens(context.settings, context.work, size.train, size.epochs)
        )
        return rate.attach_seconds + rows * tokens / rate.tokens_per_second + steps * rate.step_seconds

    def _reads_once(self, context: Context) -> bool:
        """Whether what the base puts out is computed once for all epochs (`rung.train.trunk`)."""
        base = context.prepared.base
        still = not METHODS[self.method].promises.moves_base
        return still and base.route.path == "fused" and base.device.type == "cpu"

    def _texts(self, context: Context) -> int:
        """A few where the base is left as it is: they show that nothing was forgotten."""
        found = super()._texts(context)
        return found if METHODS[self.method].promises.moves_base else min(FEWEST_TEXTS, found)

    def judged_rows(self, context: Context, size: Size) -> int:
        """None: its loss is of labels already, and costs one pass."""
        return 0

    def picks(self, context: Context) -> bool:
        """No: it answers in one way."""
        return False

    def answer_seconds(self, context: Context) -> float:
        return context.size.test * context.work.tail_tokens / context.speeds.prefill

    def start_seconds(self, context: Context) -> float:
        """Of the probe that the head begins as: every train row is read once."""
        row = context.work.tail_tokens / context.speeds.prefill + _ROW_SECONDS
        return super().start_seconds(context) + _FIT_SECONDS + context.size.train * row
