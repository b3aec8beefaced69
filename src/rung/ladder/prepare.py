"""From examples and their task to everything a climb needs before its first rung: base, splits, tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rung import device as devices
from rung.bases.base import Base
from rung.compute.load import load
from rung.config import Settings
from rung.data.rejected import is_pair, rejected_of
from rung.data.split import Split, is_text
from rung.data.templates import Renderer
from rung.data.turns import refusal
from rung.errors import DataError, TurnsError
from rung.evaluation.run import Speaker
from rung.ladder.divide import Divided, divide, faults, parts_of, without
from rung.ladder.forecast import allowance
from rung.ladder.left_out import LeftOut, counted
from rung.ladder.texts import text_row, text_rows
from rung.ladder.understood import Understood
from rung.records import Example, Rendered, Task

A_SENTENCE = 64  # tokens
PLAIN_TURNS = "the base has none; turns are written as plain text, 'User: …' and 'Assistant: …'"
MOST_DROPPED = 0.3  # share of rows that may be dropped as too long, or of answers that may be cut


@dataclass(kw_only=True)
class Prepared(Divided):
    """A data file, understood, split and rendered for one base."""

    device: devices.Device
    speaker: Speaker
    max_length: int
    max_new_tokens: int
    rendered: dict[str, Rendered]  # by example id
    others: dict[str, Rendered] = field(default_factory=dict)  # of preference pairs: with the rejected answer
    texts: tuple[Rendered, ...] = ()  # of documents; all of their tokens are learned
    passages: int = 0  # of documents that stand in the prompt of each row, at most

    @property
    def base(self) -> Base:
        return self.speaker.base

    def base_facts(self) -> dict[str, Any]:
        held = f"; weights in {self.base.bits} bits" if self.base.bits else ""
        return {
            "base": self.base.name,
            "fingerprint": self.base.fingerprint,
            "precision": self.device.precision,
            "precision_why": self.device.why + held,
            "bits": self.base.bits,
            "path": self.base.route.path,
            "path_why": str(self.base.route),
            "threads": self.device.threads,
            "template": PLAIN_TURNS if self.speaker.renderer.invented else "",
            "max_length": self.max_length,
            "max_new_tokens": self.max_new_tokens,
        }


def prepare(data: Understood, settings: Settings) -> Prepared:
    """Split and render `data` for the base. Raises `DataError` or `BaseModelError`."""
    return on_base(divide(data, settings))


def on_base(rows: Divided, base: Base | None = None) -> Prepared:
    """Load the base, unless it is given in the number format of `rows`, and render `rows` for it.

    Raises `DataError` or `BaseModelError`.
    """
    settings = rows.settings
    device = devices.choose(settings.precision, settings.threads)
    if base is None or base.dtype != device.dtype:
        base = load(settings.base, dtype=device.dtype, device=str(device.device), bits=settings.bits)
    renderer = Renderer(base.tokenizer)
    max_length = min(settings.max_length or base.context, base.context)
    kept, rendered, others, left_out = _render(
        rows.split, renderer, rows.task, max_length, settings.long_rows
    )
    used = without(rows, kept, left_out)
    limit = settings.max_new_tokens
    cut = _cut_answers(used.split.asking, rendered, limit) if limit else ""
    return Prepared(
        settings=settings,
        loaded=used.loaded,
        loaded_test=used.loaded_test,
        device=device,
        speaker=Speaker(base, renderer),
        split=used.split,
        task=used.task,
        documents=used.documents,
        max_length=max_length,
        max_new_tokens=limit or _longest_answer(used.split, rendered),
        rendered=rendered,
        others=others,
        texts=text_rows(renderer, used.split.texts, max_length),
        left_out=used.left_out,
        warnings=(*used.warnings, *([cut] if cut else [])),
    )


def _render(
    parts: Split, renderer: Renderer, task: Task, max_length: int, long_rows: str
) -> tuple[dict[str, tuple[Example, ...]], dict[str, Rendered], dict[str, Rendered], list[LeftOut]]:
    """The rows of each part that can be used, the tokens of those that can, with the target and with the
    rejected answer, and the rows left out."""
    rendered: dict[str, Rendered] = {}
    others: dict[str, Rendered] = {}
    left_out: list[LeftOut] = []
    long: list[tuple[Example, int]] = []
    refused: list[TurnsError] = []
    kept: dict[str, tuple[Example, ...]] = {}
    for name, examples in parts_of(parts):
        bad = faults(task, examples)
        for example in examples:
            try:
                tokens = text_row(renderer, example) if is_text(example) else renderer.render(example)
                other = renderer.render(rejected_of(example)) if is_pair(example) else None
            except TurnsError as error:
                refused.append(error)
                continue
            why = bad.get(example.row, "")
            longest = max(len(tokens.ids), len(other.ids) if other else 0)
            if longest > max_length:
                why = f"longer than {max_length} tokens"
                long.append((example, longest))
            if why:
                left_out.append(LeftOut(example.source, example.row, why, name))
            else:
                rendered[example.id] = tokens
                if other:
                    others[example.id] = other
        kept[name] = tuple(example for example in examples if example.id in rendered)
    if refused:
        raise refusal(refused)
    _require_short(long, sum(map(len, (parts.train, parts.dev, parts.test))), max_length, long_rows)
    return kept, rendered, others, left_out


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
            why=f"Without more than {MOST_DROPPED:.0%} of its rows the file would be another one",
            fix="Shorten the rows, raise --max-length, or take a base with a longer context",
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


def _longest_answer(parts: Split, rendered: dict[str, Rendered]) -> int:
    """The allowance for the longest train target, but for the last half percent; with documents, whose
    questions the base may have written, room for a sentence at least."""
    lengths = sorted(rendered[example.id].answer_length for example in parts.asking)
    found = allowance(lengths[int(0.995 * (len(lengths) - 1))])
    return max(found, A_SENTENCE) if parts.texts or parts.text_alone else found
