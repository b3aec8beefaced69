"""The rows of a climb in their parts, before any base has read them; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rung.config import Settings
from rung.data.documents import Corpus
from rung.data.formats import Loaded, example_of
from rung.data.mix import DEV, mix, mixed_line
from rung.data.passages import Documents
from rung.data.split import TEXT, Split, prompt_key, split
from rung.errors import DataError
from rung.evaluation.tasks import KINDS, learn, unreadable
from rung.ladder import seen
from rung.ladder.left_out import LeftOut, counted, grouped, lines
from rung.ladder.understood import Understood, mixture_of, require_rows
from rung.records import Example, Message, Task, to_json
from rung.storage import fingerprint


@dataclass(kw_only=True)
class Divided:
    """A data file, understood and split."""

    settings: Settings
    loaded: Loaded
    loaded_test: Loaded | None
    split: Split
    task: Task
    left_out: tuple[LeftOut, ...] = ()  # besides duplicates and rows that are in test too
    documents: Documents | None = None
    warnings: tuple[str, ...] = ()  # lines that the user should read before the first rung

    def base_facts(self) -> dict[str, Any]:
        """The base and what follows from it; empty where no rung needs one."""
        return {}

    def facts(self) -> dict[str, Any]:
        """What was read and what became of it, for run.json."""
        return {
            "file": self.loaded.name,
            "sha256": self.loaded.sha256,
            "format": self.loaded.format,
            "rows": len(self.loaded.examples),
            "test_file": self.loaded_test.name if self.loaded_test else None,
            "test_sha256": self.loaded_test.sha256 if self.loaded_test else None,
            "test_rows_in_file": len(self.loaded_test.examples) if self.loaded_test else None,
            "train_rows": len(self.split.train),
            "dev_rows": len(self.split.dev),
            "test_rows": len(self.split.test),
            "duplicates_left_out": self.split.duplicates,
            "leaked_left_out": [example.row for example in self.split.leaked],
            "left_out": grouped(self.left_out),
            "documents": self.documents.facts() if self.documents else None,
            "parts": self.loaded.parts_line,
            "reading": to_json(self.loaded.reading),
            "texts": len(self.split.texts),
            "split": fingerprint(_ids(self.split)),
            "warnings": list(self.warnings),
            **seen.facts(self.task, self.split.train, self.split.test),
        }

    def account(self) -> list[str]:
        """A line for each reason why rows are left out, with how many there are."""
        found = lines(self.left_out, self.loaded.name)
        if self.split.duplicates:
            found.append(f"{counted(self.split.duplicates)} left out: the same as an earlier row")
        leaked = [
            LeftOut(one.source, one.row, "the test file holds the same prompt") for one in self.split.leaked
        ]
        return found + lines(leaked, self.loaded.name)


def divide(data: Understood, settings: Settings) -> Divided:
    """Split `data`; rows that cannot be used are still there (`usable`, `rung.ladder.prepare`).

    Documents are learned whole. Of the questions that the base wrote about them, all are train rows; only
    where the user gives no others is a part of them drawn as dev rows. Where there are no questions to learn
    from, the train rows are the passages, and dev rows are drawn from the questions to test on.
    """
    given = data.loaded.examples
    if data.corpus is not None and data.test is not None and not given and not data.written:
        return _text_alone(data, data.corpus, data.test, settings)
    parts = split(
        given or data.written or (),
        seed=settings.seed,
        dev_fraction=settings.dev_fraction,
        test_fraction=settings.test_fraction,
        test=data.test.examples if data.test else None,
    )
    if data.corpus is not None:
        parts = replace(parts, texts=data.corpus.passages)
        if given and data.written:
            parts = replace(parts, train=(*parts.train, *_new(data.written, parts)))
    warnings = (*data.warnings, *data.doubts)
    task = learn(data.task, parts.train)
    if settings.mix not in (None, DEV):
        train = mix(parts.train, mixture_of(settings.mix or ""), settings.seed)
        warnings = (*warnings, mixed_line(parts.train, train))
        parts = replace(parts, train=train)
    return Divided(
        settings=settings,
        loaded=data.loaded,
        loaded_test=data.test,
        split=parts,
        task=task,
        documents=data.documents,
        left_out=tuple(data.left_out),
        warnings=warnings,
    )


def _text_alone(data: Understood, corpus: Corpus, test: Loaded, settings: Settings) -> Divided:
    """The text of the documents as train rows, the questions to test on as dev and test rows."""
    asked = split(
        test.examples,
        seed=settings.seed,
        dev_fraction=settings.dev_fraction,
        test_fraction=settings.test_fraction,
        test=(),
    )
    text = [
        example_of(
            [Message("assistant", "\n\n".join(filter(None, (one.title, one.text))))],
            number,
            one.source,
            facts={TEXT: True},
        )
        for number, one in enumerate(corpus.passages, 1)
    ]
    parts = replace(asked, train=tuple({one.id: one for one in text}.values()), test=asked.train)
    warning = (
        "there are no questions to learn from, so tuned rungs learn the text of the documents alone, and "
        f"rungs that learn from answers are left out; of the questions in {test.name}, {len(parts.dev):,} "
        f"are dev rows, on which choices are made, and {len(parts.test):,} are test rows. --train-questions "
        "gives some to learn from"
    )
    return Divided(
        settings=settings,
        loaded=data.loaded,
        loaded_test=test,
        split=parts,
        task=learn(data.task, parts.dev),
        documents=data.documents,
        left_out=tuple(data.left_out),
        warnings=(*data.warnings, *data.doubts, warning),
    )


def _new(written: Sequence[Example], parts: Split) -> list[Example]:
    """Those of `written` that ask what no row of `parts` asks."""
    known = {prompt_key(one) for _, examples in parts_of(parts) for one in examples}
    return [one for one in written if prompt_key(one) not in known]


def _ids(parts: Split) -> list[list[str]]:
    """Of the rows of each part, and of the texts where there are any."""
    ids = [[one.id for one in examples] for _, examples in parts_of(parts)]
    return [*ids, *([[text.id for text in parts.texts]] if parts.texts else [])]


def usable(rows: Divided) -> Divided:
    """`rows` without those that cannot be graded. Raises `DataError` where a part is empty then."""
    left_out: list[LeftOut] = []
    kept: dict[str, tuple[Example, ...]] = {}
    for name, examples in parts_of(rows.split):
        why = faults(rows.task, examples)
        left_out += [LeftOut(one.source, one.row, why[one.row], name) for one in examples if one.row in why]
        kept[name] = tuple(one for one in examples if one.row not in why)
    return without(rows, kept, left_out)


def without(rows: Divided, kept: dict[str, tuple[Example, ...]], left_out: Sequence[LeftOut]) -> Divided:
    """`rows` with only the examples in `kept`, by part. Raises `DataError` where a part is empty then."""
    parts = replace(rows.split, train=kept["train"], dev=kept["dev"], test=kept["test"])
    require_rows(parts.train, left_out, rows.loaded.name, minimum=2)
    for name, examples in (("dev", parts.dev), ("test", parts.test)):
        if not examples:
            gone = next(row for row in left_out if row.part == name)
            raise DataError(
                f"no row is left in the {name} part",
                where=gone.file,
                why=f"Row {gone.row}, for example, was left out: {gone.why}",
                fix="Give more rows that can be used; `rung check` lists those that cannot",
            )
    return replace(rows, split=parts, left_out=(*rows.left_out, *left_out))


def parts_of(parts: Split) -> tuple[tuple[str, tuple[Example, ...]], ...]:
    """Name and rows of each part."""
    return ("train", parts.train), ("dev", parts.dev), ("test", parts.test)


def faults(task: Task, examples: Sequence[Example]) -> dict[int, str]:
    """Row -> why its target cannot be graded."""
    found, needed = dict(unreadable(task, examples)), KINDS[task.kind].needs_target
    empty = [one.row for one in examples if not one.target.strip() and needed(one)]
    return found | dict.fromkeys(empty, "its target is empty")
