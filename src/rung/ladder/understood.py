"""From a file, or rows in memory, to examples and their task: every verb reads its data here. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rung.config import Settings
from rung.data.check import require_trainable
from rung.data.formats import Loaded, read_examples
from rung.data.memory import Rows
from rung.data.memory import source_of as opened
from rung.data.mix import Mixture, mixture, shares, source_of
from rung.data.verifiable import has_rules
from rung.errors import DataError, UsageError
from rung.evaluation.tasks import instructions, tidy, understand, unreadable
from rung.ladder.labels import unknown_labels
from rung.ladder.left_out import LeftOut, counted, lines
from rung.records import Example, Task

INSTRUCTIONS = instructions.Instructions.name


@dataclass(frozen=True, slots=True)
class Understood:
    """Rows to learn from, maybe rows to test on, and the task of both."""

    loaded: Loaded
    test: Loaded | None
    task: Task
    unknown: str  # a sentence about labels that only the test rows have, or ""

    @property
    def left_out(self) -> list[LeftOut]:
        """Rows that were left out while reading."""
        both = [self.loaded, *([self.test] if self.test else [])]
        return [LeftOut(one.name, row, why) for one in both for row, why in one.left_out]

    @property
    def warnings(self) -> list[str]:
        """Lines that the user should read before anything runs."""
        both = [*self.loaded.warnings, *(self.test.warnings if self.test else ()), *self.task.notes]
        return [line for line in dict.fromkeys([*both, self.unknown]) if line]


def understand_data(data: object, settings: Settings, test: Rows | None = None) -> Understood:
    """Read `data`, a path or rows in memory, and find its task.

    `test` are rows in place of ``settings.test``. Raises `DataError` where nothing could be learned or
    no test label is known, `UsageError` for settings that do not fit the data.
    """
    loaded = read_examples(opened(data), settings.columns)
    left_out = [LeftOut(loaded.name, row, why) for row, why in loaded.left_out]
    _require_answers(loaded)
    _require_sources(loaded, settings)
    require_rows(loaded.examples, left_out, loaded.name)
    held_out = test or settings.test
    loaded_test = read_examples(held_out, settings.columns) if held_out else None
    task, loaded = _task(loaded, loaded_test, settings)
    unknown = ""
    if loaded_test:
        unknown_labels(task, loaded_test.examples)  # raises where none is known as it is written
        loaded_test = replace(loaded_test, examples=tidy(task, loaded_test.examples))
        unknown = unknown_labels(task, loaded_test.examples)
    return Understood(loaded, loaded_test, task, unknown)


def _task(loaded: Loaded, test: Loaded | None, settings: Settings) -> tuple[Task, Loaded]:
    """The task of `loaded`; where test rows have rules to be checked by, that decides, unless the user says
    another. Raises `UsageError` for a task of rules where no row has any."""
    checked = instructions.why(test) if test else ""
    kind = settings.task or (INSTRUCTIONS if checked else None)
    task, loaded = understand(loaded, kind, settings.metric)
    if task.kind != INSTRUCTIONS:
        return task, loaded
    own = instructions.why(loaded)
    if not checked and not own:
        raise UsageError(
            "no row has rules that an answer could be checked by",
            where=loaded.name,
            fix="Give test rows with instruction_id_list and kwargs (docs/tasks/instructions.md), or leave "
            "out --task instructions",
        )
    notes = task.notes
    if not own:
        notes = (
            *notes,
            "train rows have answers and no rules: choices on dev go by ROUGE-L to them",
        )
    return replace(task, why=checked or own, notes=notes), loaded


def _require_sources(loaded: Loaded, settings: Settings) -> None:
    """Raises `UsageError` for a mixture that cannot be made of these rows."""
    if settings.mix is None:
        return
    counts = Counter(map(source_of, loaded.examples))
    shares(counts, mixture_of(settings.mix))
    if len(counts) < 2:
        raise UsageError(
            f"--mix weighs sources, and {settings.mix_by!r} names no column with several",
            where=loaded.name,
            fix="Give the column with --mix-by, or several files",
        )


def mixture_of(text: str) -> Mixture:
    """The mixture that the user asks for. Raises `UsageError`."""
    try:
        return mixture(text)
    except ValueError as error:
        raise UsageError(
            f"setting 'mix' cannot be {text!r}: {error}", fix=str(Settings.model_fields["mix"].description)
        ) from None


def _require_answers(loaded: Loaded) -> None:
    """Raises `DataError` for rows that have rules and not one answer to learn from; it names bad ones."""
    if not loaded.examples or any(one.target.strip() or not has_rules(one) for one in loaded.examples):
        return
    task, _ = understand(loaded, INSTRUCTIONS)
    bad = [LeftOut(loaded.name, row, why) for row, why in unreadable(task, loaded.examples)]
    raise DataError(
        f"its {counted(len(loaded.examples))} have rules and no answers, so there is nothing to learn",
        where=loaded.name,
        why="; ".join(lines(bad, loaded.name)),
        fix=f"Give it as test rows: `rung climb TRAIN.jsonl --test {loaded.name}`",
    )


def require_rows(
    examples: Sequence[Example], left_out: Sequence[LeftOut], file: str, minimum: int = 20
) -> None:
    """Raises `DataError` where nothing could be learned from `examples`; it says what was left out before."""
    try:
        require_trainable(examples, minimum)
    except DataError as error:
        why = error.why or "; ".join(lines(left_out, file))
        raise DataError(error.what, where=error.where or file, why=why, fix=error.fix) from error
