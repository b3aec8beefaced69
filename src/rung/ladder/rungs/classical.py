"""What the rungs without a language model share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rung.ladder.classical.fitted import Fitted
from rung.ladder.context import Context
from rung.ladder.responder import Responder
from rung.ladder.rungs.rung import Outcome, Rung
from rung.records import Example, Quote, RungKind, Task

Fit = Callable[[Task, Sequence[Example], Sequence[Example], int], Fitted[Any]]


class ClassicalRung(Rung):
    """Fits known rows and answers.

    `seconds` and `row_seconds` forecast fit and answers: a fixed part and one for each row.
    """

    needs_base = False
    needs_answers = True

    def __init__(
        self,
        name: str,
        title: str,
        kind: RungKind,
        fit: Fit,
        load: Callable[[Path], Responder],
        applies: Callable[[Task], bool],
        seconds: float,
        row_seconds: float,
    ) -> None:
        self.name, self.title, self.kind = name, title, kind
        self._fit, self._load, self._applies = fit, load, applies
        self._seconds, self._row_seconds = seconds, row_seconds

    def applies(self, task: Task) -> bool:
        return self._applies(task)

    def quote(self, context: Context) -> Quote:
        size, train = context.size, len(context.split.train)
        return Quote(
            self.name,
            fits=True,
            seconds=self._seconds + self._row_seconds * (train + size.dev + size.test),
            train_rows=train,
            dev_rows=size.dev,
            test_rows=size.test,
        )

    def run(self, context: Context, limit: float | None) -> Outcome:
        split = context.split
        found = self._fit(context.task, split.train, split.dev, context.settings.seed)
        return Outcome(
            found.responder, found.choices, notes=found.notes, trainable_parameters=found.parameters
        )

    def load(self, folder: Path) -> Responder:
        return self._load(folder)
