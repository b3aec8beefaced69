"""From examples and their task to everything a climb needs before its first rung: base, splits, tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rung import device as devices
from rung.bases.base import Base
from rung.bases.load import load
from rung.config import Settings
from rung.data.formats import Loaded
from rung.data.split import Split, split
from rung.data.templates import Renderer
from rung.data.turns import refusal
from rung.errors import DataError, TurnsError
from rung.evaluation.run import Speaker
from rung.evaluation.tasks import unreadable
from rung.ladder.left_out import LeftOut, counted, grouped, lines
from rung.ladder.understood import Understood, require_rows
from rung.records import Example, Rendered, Task

MOST_DROPPED = 0.3  # share of rows that may be dropped as too long, or of answers that may be cut


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
    left_out: tuple[LeftOut, ...] = ()  # besides duplicates and rows that are in test too
    warnings: tuple[str, ...] = ()  # lines that the user should read before the first rung

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
            "left_out": grouped(self.left_out),
            "parts": self.loaded.parts_line,
            "warnings": list(self.warnings),
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


def prepare(data: Understood, settings: Settings) -> Prepared:
    """Split and render `data` for the base. Raises `DataError` or `BaseModelError`."""
    loaded, loaded_test, task = data.loaded, data.test, data.task
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
    kept, rendered, left_out = _render(parts, renderer, task, max_length, settings.long_rows)
    require_rows(kept.train, left_out, loaded.name, minimum=2)
    _require_measurable(kept, left_out)
    limit = settings.max_new_tokens
    cut = _cut_answers(kept.train, rendered, limit) if limit else ""
    return Prepared(
        settings=settings,
        loaded=loaded,
        loaded_test=loaded_test,
        device=device,
        speaker=Speaker(base, renderer),
        split=kept,
        task=task,
        max_length=max_length,
        max_new_tokens=limit or _longest_answer(kept.train, rendered),
        rendered=rendered,
        left_out=(*data.left_out, *left_out),
        warnings=(*data.warnings, *([cut] if cut else [])),
    )


def _render(
    parts: Split, renderer: Renderer, task: Task, max_length: int, long_rows: str
) -> tuple[Split, dict[str, Rendered], list[LeftOut]]:
    """The parts without the rows that cannot be used, the tokens of those that can, and the rows left out."""
    rendered: dict[str, Rendered] = {}
    left_out: list[LeftOut] = []
    long: list[tuple[Example, int]] = []
    refused: list[TurnsError] = []
    kept: dict[str, tuple[Example, ...]] = {}
    for name, examples in (("train", parts.train), ("dev", parts.dev), ("test", parts.test)):
        faults = dict(unreadable(task, examples))
        for example in examples:
            try:
                tokens = renderer.render(example)
            except TurnsError as error:
                refused.append(error)
                continue
            why = faults.get(example.row, "")
            if len(tokens.ids) > max_length:
                why = f"longer than {max_length} tokens"
                long.append((example, len(tokens.ids)))
            elif not example.target.strip():
                why = "its target is empty"
            if why:
                left_out.append(LeftOut(example.source, example.row, why, name))
            else:
                rendered[example.id] = tokens
        kept[name] = tuple(example for example in examples if example.id in rendered)
    if refused:
        raise refusal(refused)
    _require_short(long, sum(map(len, (parts.train, parts.dev, parts.test))), max_length, long_rows)
    used = replace(parts, train=kept["train"], dev=kept["dev"], test=kept["test"])
    return used, rendered, left_out


def _require_short(long: Sequence[tuple[Example, int]], rows: int, max_length: int, long_rows: str) -> None:
    """Raises `DataError` where long rows are refused, or where too many would be dropped."""
    if not long:
        return
    example, tokens = long[0]
    if long_rows == "refuse":
        more = f"; {counted(len(long) - 1)} more too" if len(long) > 1 else ""
        raise DataError(
            f"row {example.row} is longer than the base can read: {tokens} tokens, {max_length} fit{more}",
            where=example.source,
            fix="Shorten the row, or leave such rows out with --long-rows drop; `rung check` lists them all",
        )
    if len(long) > MOST_DROPPED * rows:
        raise DataError(
            f"{len(long):,} of {counted(rows)} are longer than {max_length} tokens, "
            f"such as row {example.row} with {tokens}",
            where=example.source,
            why=f"Without more than {MOST_DROPPED:.0%} of its rows a file no longer stands for itself",
            fix="Shorten the rows, raise --max-length, or take a base with a longer context",
        )


def _require_measurable(parts: Split, left_out: Sequence[LeftOut]) -> None:
    for name, examples in (("dev", parts.dev), ("test", parts.test)):
        if not examples:
            gone = next(row for row in left_out if row.part == name)
            raise DataError(
                f"no row is left in the {name} part",
                where=gone.file,
                why=f"Row {gone.row}, for one, was left out: {gone.why}",
                fix="Give more rows that can be used; `rung check` lists those that cannot",
            )


def _cut_answers(train: Sequence[Example], rendered: dict[str, Rendered], limit: int) -> str:
    """A sentence on the targets that are longer than an answer may be, or "".

    Raises `DataError` where so many are that the answers could not be measured.
    """
    lengths = [rendered[example.id].answer_length for example in train]
    cut = sum(length > limit for length in lengths)
    if cut > MOST_DROPPED * len(train):
        raise DataError(
            f"{cut:,} of {len(train):,} targets are longer than the {limit} tokens an answer may have",
            where=train[0].source,
            why="Answers that are cut off cannot be right",
            fix=f"Raise --max-new-tokens, {max(lengths)} would do, or leave it out",
        )
    if not cut:
        return ""
    return f"answers end after {limit} tokens, as asked, and {cut:,} of {len(train):,} targets are longer"


def _longest_answer(train: Sequence[Example], rendered: dict[str, Rendered]) -> int:
    """Room for the longest train target but for the last half percent, and a quarter more."""
    lengths = sorted(rendered[example.id].answer_length for example in train)
    return int(lengths[int(0.995 * (len(lengths) - 1))] * 1.25) + 4
