"""From a file, or rows in memory, to examples and their task: every verb reads its data here. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rung.config import Columns, Settings
from rung.data.catalogue import read_catalogue
from rung.data.check import require_trainable
from rung.data.documents import Corpus, is_documents, read_corpus
from rung.data.formats import Loaded, read_examples
from rung.data.memory import Rows
from rung.data.memory import source_of as opened
from rung.data.mix import DEV, Mixture, mixture, shares, source_of
from rung.data.passages import Documents, read_documents
from rung.data.verifiable import has_rules
from rung.errors import DataError, UsageError
from rung.evaluation.given_schema import with_schema
from rung.evaluation.tasks import KINDS, doubts, instructions, learn, tidy, understand, unreadable
from rung.ladder.labels import unknown_labels
from rung.ladder.left_out import LeftOut, counted, lines
from rung.records import Example, Task
from rung.storage import fingerprint

INSTRUCTIONS = instructions.Instructions.name


@dataclass(frozen=True, slots=True)
class Understood:
    """Rows to learn from, maybe rows to test on, and the task of both."""

    loaded: Loaded
    test: Loaded | None
    task: Task
    unknown: str  # a sentence about labels that only the test rows have, or ""
    doubted: tuple[LeftOut, ...] = ()  # rows that are used and may be wrong
    corpus: Corpus | None = None  # documents to learn from besides the rows
    written: tuple[Example, ...] | None = None  # what the base asks about them; None before it was asked
    documents: Documents | None = None  # that answers can be looked up in

    @property
    def left_out(self) -> list[LeftOut]:
        """Rows that were left out while reading."""
        both = [self.loaded, *([self.test] if self.test else [])]
        return [LeftOut(one.name, row, why) for one in both for row, why in one.left_out]

    @property
    def named(self) -> Loaded:
        """The rows under the name of what the user gave."""
        return replace(self.loaded, name=self.corpus.name) if self.corpus else self.loaded

    @property
    def warnings(self) -> list[str]:
        """Lines that the user should read before anything runs."""
        both = [*self.loaded.warnings, *(self.test.warnings if self.test else ()), *self.task.notes]
        gone = self.corpus.gone() if self.corpus else []
        about = self.documents.notes if self.documents else ()
        return [line for line in dict.fromkeys([*gone, *both, self.unknown, *about]) if line]

    @property
    def doubts(self) -> list[str]:
        """A line for each thing that may be wrong with rows that are used."""
        return lines(self.doubted, self.loaded.name, fate="")


def understand_data(
    data: object, settings: Settings, test: Rows | None = None, only_look: bool = False
) -> Understood:
    """Read `data`, a path or rows in memory, and find its task.

    `test` are rows in place of ``settings.test``; with `only_look` documents need no questions. Raises
    `DataError` where nothing could be learned or no test label is known, `UsageError` for settings that do
    not fit the data.
    """
    source = opened(data)
    if isinstance(source, Path) and is_documents(source):
        return _of_corpus(source, settings, test, only_look)
    if settings.train_questions is not None:
        raise UsageError(
            "--train-questions goes with documents",
            where=str(getattr(source, "name", source)),
            fix="Give a folder of documents in the place of FILE, or leave it out",
        )
    loaded = read_examples(source, settings.columns)
    left_out = [LeftOut(loaded.name, row, why) for row, why in loaded.left_out]
    _require_answers(loaded)
    _require_sources(loaded, settings)
    require_rows(loaded.examples, left_out, loaded.name)
    held_out = test or settings.test
    documents = read_documents(settings.library) if settings.library else None
    loaded_test = read_examples(held_out, settings.columns) if held_out else None
    raw = [loaded, *([loaded_test] if loaded_test else [])]
    task, loaded = _task(loaded, loaded_test, settings)
    require_kind(task.kind, settings)
    if settings.json_schema is not None:
        task = with_schema(task, settings.json_schema)
    known = learn(task, loaded.examples)
    doubted = [LeftOut(one.name, row, why) for one in raw for row, why in doubts(known, one.examples)]
    unknown = ""
    if loaded_test:
        unknown_labels(task, loaded_test.examples)  # raises where none is known as it is written
        loaded_test = replace(loaded_test, examples=tidy(task, loaded_test.examples))
        unknown = "" if doubted else unknown_labels(task, loaded_test.examples)  # doubts name the rows
    return Understood(loaded, loaded_test, task, unknown, tuple(doubted), documents=documents)


def looked_up(data: object, settings: Settings) -> Settings:
    """`settings` where answers are looked up in the documents that are learned too, unless they name others.

    `data` is what the user gave, or what `understand_data` made of it.
    """
    path = data.corpus.path if isinstance(data, Understood) and data.corpus else data
    if settings.documents or not isinstance(path, str | Path) or not is_documents(Path(path)):
        return settings
    return settings.model_copy(update={"documents": Path(path)})


def catalogue_facts(settings: Settings) -> dict[str, Any]:
    """The catalogue of APIs as a fact of the task, where the settings name one. Raises `DataError`."""
    return {"apis": read_catalogue(settings.apis).facts()} if settings.apis else {}


def require_kind(kind: str, settings: Settings) -> None:
    """Raises `UsageError` where a catalogue is given for rows that are no calls."""
    if settings.apis and kind != "api_call":
        raise UsageError(
            f"--apis gives a catalogue of APIs, but the task is {kind}",
            where=str(settings.apis),
            fix="Say --task api_call if the answers are calls or commands, or leave out --apis",
        )


def _of_corpus(path: Path, settings: Settings, test: Rows | None, only_look: bool) -> Understood:
    """Documents to learn from, with the questions about them that the user gives.

    The task is `knowledge`, unless the user says another one.
    """
    documents = read_corpus(path)
    held_out, asked = test or settings.test, settings.train_questions
    loaded_test = _questions(held_out, settings.columns) if held_out else None
    loaded = Loaded((), "documents", documents.name, documents.sha256, parts_line=documents.line)
    if asked is not None:
        questions = _questions(asked, settings.columns)
        loaded = replace(
            questions,
            sha256=fingerprint([documents.sha256, questions.sha256]),
            parts_line=f"{documents.line}; {questions.parts_line}",
        )
    every = [*loaded.examples, *(loaded_test.examples if loaded_test else ())]
    if not every and not only_look:
        raise UsageError(
            "documents need questions to test on, each with its answer",
            where=str(path),
            fix="Give a file of them with --test, or with --train-questions, of which a part is held out",
        )
    kind = KINDS[settings.task or "knowledge"]
    task = Task(kind.name, "", kind.metrics, row_metric=kind.row_metric)
    if every:
        task, tidied = understand(replace(loaded, examples=tuple(every)), kind.name, settings.metric)
        own = len(loaded.examples)
        loaded = replace(loaded, examples=tidied.examples[:own])
        loaded_test = loaded_test and replace(loaded_test, examples=tidied.examples[own:])
    if settings.task is None:
        count = len(documents.files)
        task = replace(task, why=f"{kind.title}: questions about {count:,} document{'s' * (count > 1)}.")
    known = Documents(documents.passages, documents.name)
    if settings.library is not None:
        known = read_documents(settings.library)
    return Understood(loaded, loaded_test, task, "", corpus=documents, documents=known)


def _questions(source: Path | Rows, columns: Columns) -> Loaded:
    """Questions about documents; a column called ``group`` names those that ask the same in other words."""
    found = read_examples(source, columns)
    if columns.group is None and "group" in found.parts.get("not used", ()):
        return read_examples(source, replace(columns, group="group"))
    return found


def _task(loaded: Loaded, test: Loaded | None, settings: Settings) -> tuple[Task, Loaded]:
    """The task of `loaded`; where test rows have rules to be checked by, that decides, unless the user says
    another. Raises `UsageError` for a task of rules where no row has any."""
    checked = instructions.why(test) if test else ""
    kind = settings.task or (INSTRUCTIONS if checked else None)
    task, loaded = understand(loaded, kind, settings.metric, catalogue_facts(settings))
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
    """Raises `UsageError` for a mixture that cannot be made of these rows; dev can choose for any rows."""
    if settings.mix in (None, DEV):
        return
    counts = Counter(map(source_of, loaded.examples))
    shares(counts, mixture_of(settings.mix or ""))
    if len(counts) < 2:
        raise UsageError(
            f"--mix weighs sources, and {settings.mix_by!r} names no column with several",
            where=loaded.name,
            fix="Give the column with --mix-by, or several files",
        )


def mixture_of(text: str) -> Mixture:
    """The mixture that the user asks for; proportional where dev is to choose. Raises `UsageError`."""
    if text == DEV:
        return Mixture()
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
