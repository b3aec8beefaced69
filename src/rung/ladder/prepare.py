"""From a file to everything a climb needs before its first rung: examples, task, base, splits, tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rung import device as devices
from rung.bases.base import Base
from rung.bases.load import load
from rung.config import Settings
from rung.data.check import require_trainable
from rung.data.formats import Loaded, read_examples
from rung.data.split import Split, split
from rung.data.templates import Renderer
from rung.data.turns import refusal
from rung.errors import DataError, TurnsError
from rung.evaluation.run import Speaker
from rung.evaluation.tasks import tidy, understand
from rung.records import Example, Rendered, Task


@dataclass
class Prepared:
    """A data file, understood and rendered for one base."""

    settings: Settings
    loaded: Loaded
    loaded_test: Loaded | None
    device: devices.Device
    speaker: Speaker
    split: Split
    task: Task
    max_length: int
    max_new_tokens: int
    rendered: dict[str, Rendered]  # by example id, for train and dev
    dropped: list[dict[str, Any]] = field(default_factory=list)  # rows left out: {row, file, why}

    @property
    def base(self) -> Base:
        return self.speaker.base

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
            "dropped": self.dropped,
            "truncated": [],
            "warnings": [*self.loaded.warnings, *(self.loaded_test.warnings if self.loaded_test else ())],
        }


def prepare(file: Path, settings: Settings) -> Prepared:
    """Read, check, split and render `file`. Raises `DataError`, `BaseModelError` or `UsageError`."""
    loaded = read_examples(file, settings.columns)
    require_trainable(loaded.examples)
    task, loaded = understand(loaded, settings.task, settings.metric)
    loaded_test = read_examples(settings.test, settings.columns) if settings.test else None
    if loaded_test:
        loaded_test = replace(loaded_test, examples=tidy(task, loaded_test.examples))
    parts = split(
        loaded.examples,
        seed=settings.seed,
        dev_fraction=settings.dev_fraction,
        test_fraction=settings.test_fraction,
        test=loaded_test.examples if loaded_test else None,
    )
    device = devices.choose(settings.precision, settings.threads)
    base = load(settings.base, dtype=device.dtype, device=str(device.device))
    renderer = Renderer(base.tokenizer)
    max_length = min(settings.max_length or base.context, base.context)
    kept, rendered, dropped = _render(parts, renderer, max_length, settings.long_rows)
    require_trainable(kept.train, minimum=2)
    _require_measurable(kept, dropped)
    return Prepared(
        settings=settings,
        loaded=loaded,
        loaded_test=loaded_test,
        device=device,
        speaker=Speaker(base, renderer),
        split=kept,
        task=task,
        max_length=max_length,
        max_new_tokens=settings.max_new_tokens or _longest_answer(kept.train, rendered),
        rendered=rendered,
        dropped=dropped,
    )


def _render(
    parts: Split, renderer: Renderer, max_length: int, long_rows: str
) -> tuple[Split, dict[str, Rendered], list[dict[str, Any]]]:
    rendered: dict[str, Rendered] = {}
    dropped: list[dict[str, Any]] = []
    refused: list[TurnsError] = []
    kept: dict[str, tuple[Example, ...]] = {}
    for name, examples in (("train", parts.train), ("dev", parts.dev), ("test", parts.test)):
        short = []
        for example in examples:
            try:
                tokens = renderer.render(example)
            except TurnsError as error:
                refused.append(error)
                continue
            why = ""
            if len(tokens.ids) > max_length:
                why = f"{len(tokens.ids)} tokens, {max_length} fit"
                if long_rows == "refuse":
                    raise _too_long(example, why)
            elif not example.target.strip():
                why = "its target is empty"
            if why:
                dropped.append({"row": example.row, "file": example.source, "part": name, "why": why})
                continue
            short.append(example)
            rendered[example.id] = tokens
        kept[name] = tuple(short)
    if refused:
        raise refusal(refused)
    return (
        Split(
            train=kept["train"],
            dev=kept["dev"],
            test=kept["test"],
            leaked=parts.leaked,
            duplicates=parts.duplicates,
        ),
        rendered,
        dropped,
    )


def _require_measurable(parts: Split, dropped: Sequence[dict[str, Any]]) -> None:
    for name, examples in (("dev", parts.dev), ("test", parts.test)):
        if not examples:
            gone = next(row for row in dropped if row["part"] == name)
            raise DataError(
                f"no row is left in the {name} part",
                where=gone["file"],
                why=f"Row {gone['row']}, for one, was left out: {gone['why']}",
                fix="Give more rows that can be used; `rung check` lists those that cannot",
            )


def _too_long(example: Example, why: str) -> DataError:
    return DataError(
        f"row {example.row} is longer than the base can read: {why}",
        where=example.source,
        fix="Shorten the row, or leave such rows out with --long-rows drop; `rung check` lists them all",
    )


def _longest_answer(train: Sequence[Example], rendered: dict[str, Rendered]) -> int:
    """Room for the longest train target but for the last half percent, and a quarter more."""
    lengths = sorted(rendered[example.id].answer_length for example in train)
    return int(lengths[int(0.995 * (len(lengths) - 1))] * 1.25) + 4
