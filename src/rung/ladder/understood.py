"""From a file, or rows in memory, to examples and their task: every verb reads its data here. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rung.config import Settings
from rung.data.check import require_trainable
from rung.data.formats import Loaded, read_examples
from rung.data.memory import Rows, source_of
from rung.data.passages import Documents, read_documents
from rung.errors import DataError
from rung.evaluation.tasks import tidy, understand
from rung.ladder.labels import unknown_labels
from rung.ladder.left_out import LeftOut, lines
from rung.records import Example, Task


@dataclass(frozen=True, slots=True)
class Understood:
    """Rows to learn from, maybe rows to test on, and the task of both."""

    loaded: Loaded
    test: Loaded | None
    task: Task
    unknown: str  # a sentence about labels that only the test rows have, or ""
    documents: Documents | None = None  # that answers can be looked up in

    @property
    def left_out(self) -> list[LeftOut]:
        """Rows that were left out while reading."""
        both = [self.loaded, *([self.test] if self.test else [])]
        return [LeftOut(one.name, row, why) for one in both for row, why in one.left_out]

    @property
    def warnings(self) -> list[str]:
        """Lines that the user should read before anything runs."""
        both = [*self.loaded.warnings, *(self.test.warnings if self.test else ()), *self.task.notes]
        about = self.documents.notes if self.documents else ()
        return [line for line in dict.fromkeys([*both, self.unknown, *about]) if line]


def understand_data(data: object, settings: Settings, test: Rows | None = None) -> Understood:
    """Read `data`, a path or rows in memory, and find its task.

    `test` are rows in place of ``settings.test``. Raises `DataError` where nothing could be learned or
    no test label is known, `UsageError` for settings that do not fit the data.
    """
    loaded = read_examples(source_of(data), settings.columns)
    left_out = [LeftOut(loaded.name, row, why) for row, why in loaded.left_out]
    require_rows(loaded.examples, left_out, loaded.name)
    held_out = test or settings.test
    documents = read_documents(settings.library) if settings.library else None
    loaded_test = read_examples(held_out, settings.columns) if held_out else None
    task, loaded = understand(loaded, settings.task, settings.metric)
    unknown = ""
    if loaded_test:
        unknown_labels(task, loaded_test.examples)  # raises where none is known as it is written
        loaded_test = replace(loaded_test, examples=tidy(task, loaded_test.examples))
        unknown = unknown_labels(task, loaded_test.examples)
    return Understood(loaded, loaded_test, task, unknown, documents)


def require_rows(
    examples: Sequence[Example], left_out: Sequence[LeftOut], file: str, minimum: int = 20
) -> None:
    """Raises `DataError` where nothing could be learned from `examples`; it says what was left out before."""
    try:
        require_trainable(examples, minimum)
    except DataError as error:
        why = error.why or "; ".join(lines(left_out, file))
        raise DataError(error.what, where=error.where or file, why=why, fix=error.fix) from error
