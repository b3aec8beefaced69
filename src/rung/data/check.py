"""What a user should know about a file of examples before anything is trained on it.

`check` counts and lists; it decides nothing and prints nothing. Rows are named by `Example.row`.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rung.data.formats import Loaded
from rung.data.split import prompt_key
from rung.data.strict_json import show
from rung.data.turns import refusal
from rung.errors import DataError, TurnsError
from rung.records import Example, Rendered

if TYPE_CHECKING:
    from rung.data.templates import Renderer

# Characters that cannot be seen or that reverse the reading order; joiners of scripts and emoji stay.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
)

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens per row: percentiles by nearest rank."""

    p50: int
    p90: int
    p99: int
    max: int


@dataclass(frozen=True, slots=True)
class Findings:
    """All that `check` found. Lists name rows by number and are never cut short."""

    name: str
    format: str
    rows: int
    roles: Mapping[str, int]  # turns by role, over all rows
    turns: Mapping[int, int]  # rows by number of turns
    prompt_tokens: Lengths
    target_tokens: Lengths  # end of turn included
    max_length: int
    too_long: tuple[tuple[int, int], ...]  # (row, tokens): more than `max_length`
    no_room: tuple[tuple[int, int], ...]  # (row, tokens): the prompt alone fills `max_length`
    duplicates: tuple[Pair, ...]  # (earlier row, row): all turns the same
    near_duplicates: tuple[Pair, ...]  # (earlier row, row): the same normalised prompt, not all turns
    contradictions: tuple[Pair, ...]  # (row, row): the same normalised prompt, another target
    empty_targets: tuple[int, ...]
    control_tokens: tuple[tuple[int, tuple[str, ...]], ...]  # (row, special tokens spelt out in its text)
    unseen_characters: tuple[int, ...]  # invisible, reversing or control characters in the target
    classes: tuple[tuple[str, int], ...]  # (target, rows), most frequent first; empty: no labels
    overlap: tuple[Pair, ...]  # (row, test row): all turns the same
    near_overlap: tuple[Pair, ...]  # (row, test row): the same normalised prompt, not all turns
    unseen_labels: tuple[tuple[str, tuple[int, ...]], ...]  # (target, test rows): a class not in this file
    sample: Example
    sample_tokens: Rendered
    warnings: tuple[str, ...]  # from reading
    answers: int  # assistant turns that have a text
    marked: int  # of them, those that the file marks as not to be learned
    rewritten: int  # of them, those not learned because the chat template leaves out their thoughts
    rewritten_rows: tuple[int, ...]
    refused: tuple[tuple[str, tuple[int, ...]], ...]  # (why the chat template cannot write them, rows)

    @property
    def imbalance(self) -> float | None:
        """Rows of the largest class by rows of the smallest; None where there are none."""
        return self.classes[0][1] / self.classes[-1][1] if self.classes else None

    @property
    def learned_answers(self) -> int:
        """Assistant turns that are learned; the last of each row always is."""
        return self.answers - self.marked - self.rewritten


@dataclass(frozen=True, slots=True)
class _Measured:
    """Token counts of every row that can be rendered, and what only the renderer can tell."""

    examples: tuple[Example, ...]  # those that can be rendered
    prompts: tuple[int, ...]
    targets: tuple[int, ...]
    control: tuple[tuple[int, tuple[str, ...]], ...]
    rewritten: tuple[tuple[int, int], ...]  # (row, answers not learned)
    refused: tuple[TurnsError, ...]


def check(
    loaded: Loaded,
    renderer: Renderer,
    max_length: int,
    test: Loaded | None = None,
    labels: Sequence[str] = (),
) -> Findings:
    """Look through every row, and through `test` for rows it shares with them.

    `max_length` is in tokens; `labels` are those of the task, if it has any. `loaded`
    holds at least one row, as `read_examples` promises. Raises `DataError` where the chat template can write
    none of them.
    """
    examples = loaded.examples
    tokens = _measure(examples, renderer)
    lengths = list(zip(tokens.examples, tokens.prompts, tokens.targets, strict=True))
    duplicates, near, contradictions = _repeats(examples)
    overlap, near_overlap = _overlaps(examples, test.examples if test else ())
    classes = _classes(examples, labels)
    sample = _typical(tokens, max_length)
    answers = [m for e in examples for m in e.messages if m.role == "assistant" and m.content.strip()]
    refused: dict[str, list[int]] = {}
    for error in tokens.refused:
        refused.setdefault(error.reason, []).append(error.row)
    return Findings(
        name=loaded.name,
        format=loaded.format,
        rows=len(examples),
        roles=Counter(message.role for example in examples for message in example.messages),
        turns=dict(sorted(Counter(len(example.messages) for example in examples).items())),
        prompt_tokens=_lengths(tokens.prompts),
        target_tokens=_lengths(tokens.targets),
        max_length=max_length,
        too_long=tuple((e.row, p + t) for e, p, t in lengths if p + t > max_length),
        no_room=tuple((e.row, p) for e, p, _ in lengths if p >= max_length),
        duplicates=duplicates,
        near_duplicates=near,
        contradictions=contradictions,
        empty_targets=tuple(e.row for e in examples if not e.target.strip()),
        control_tokens=tokens.control,
        unseen_characters=tuple(e.row for e in examples if _UNSEEN.search(e.target)),
        classes=classes,
        overlap=overlap,
        near_overlap=near_overlap,
        unseen_labels=_unseen_labels(labels, test.examples if test else ()),
        sample=sample,
        sample_tokens=renderer.render(sample),
        warnings=loaded.warnings,
        answers=len(answers),
        marked=sum(not message.learn for message in answers),
        rewritten=sum(count for _, count in tokens.rewritten),
        rewritten_rows=tuple(row for row, _ in tokens.rewritten),
        refused=tuple((reason, tuple(rows)) for reason, rows in refused.items()),
    )


def require_trainable(examples: Sequence[Example], minimum: int = 20) -> None:
    """Raises `DataError` where nothing could be learned or measured from these rows."""
    where = examples[0].source if examples else ""
    targets = {example.target.strip() for example in examples}
    fix = f"Give at least {minimum}; a few hundred make the answer sharper"
    if not examples:
        raise DataError("no rows to learn from", fix=fix)
    if len(examples) < minimum:
        found = "1 row is" if len(examples) == 1 else f"{len(examples)} rows are"
        raise DataError(f"{found} too few to train on and to measure with", where=where, fix=fix)
    if targets == {""}:
        raise DataError("every target is empty", where=where, fix="Write the wanted answer in each row")
    if len(targets) == 1:
        what = f"all {len(examples)} targets are the same: {show(targets.pop())}"
        raise DataError(
            what, where=where, why="There is nothing to tell apart", fix="Add rows with other answers"
        )


def _measure(examples: Sequence[Example], renderer: Renderer) -> _Measured:
    rows, prompts, targets, control, rewritten, refused = list[Example](), [], [], [], [], []
    for example in examples:
        try:
            rendered = renderer.render(example)
            rows.append(example)
            prompts.append(rendered.answer_start)
            targets.append(rendered.answer_length)
            if rendered.rewritten:
                rewritten.append((example.row, rendered.rewritten))
        except TurnsError as error:
            refused.append(error)
        found = [token for m in example.messages for token in renderer.control_tokens(m.content)]
        if found:
            control.append((example.row, tuple(dict.fromkeys(found))))
    if not rows:
        raise refusal(refused)
    return _Measured(
        examples=tuple(rows),
        prompts=tuple(prompts),
        targets=tuple(targets),
        control=tuple(control),
        rewritten=tuple(rewritten),
        refused=tuple(refused),
    )


def _lengths(counts: Sequence[int]) -> Lengths:
    ordered = sorted(counts)
    p50, p90, p99 = (ordered[math.ceil(share * len(ordered) / 100) - 1] for share in (50, 90, 99))
    return Lengths(p50, p90, p99, ordered[-1])


def _repeats(examples: Sequence[Example]) -> tuple[tuple[Pair, ...], tuple[Pair, ...], tuple[Pair, ...]]:
    """Exact duplicates, near-duplicates and contradictions, each row paired with the first of its kind."""
    same: dict[str, int] = {}  # id -> its first row
    prompts: dict[str, dict[str, int]] = {}  # prompt -> target -> its first row
    exact, near, against = [], [], []
    for example in examples:
        if example.id in same:
            exact.append((same[example.id], example.row))
            continue
        same[example.id] = example.row
        seen = prompts.setdefault(prompt_key(example), {})
        target = example.target.strip()
        if seen:
            first = next(iter(seen.values()))
            near.append((first, example.row))
            if target not in seen:
                against.append((first, example.row))
        seen.setdefault(target, example.row)
    return tuple(exact), tuple(near), tuple(against)


def _overlaps(
    examples: Sequence[Example], test: Sequence[Example]
) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """(row, test row) for each row that the test part holds exactly, or holds nearly."""
    exact = {example.id: example.row for example in reversed(test)}
    prompts = {prompt_key(example): example.row for example in reversed(test)}
    same, near = [], []
    for example in examples if test else ():
        if example.id in exact:
            same.append((example.row, exact[example.id]))
        elif (row := prompts.get(prompt_key(example))) is not None:
            near.append((example.row, row))
    return tuple(same), tuple(near)


def label_key(label: str) -> str:
    """A label as it is compared: without case, in one form of its accents, with single spaces."""
    return " ".join(unicodedata.normalize("NFC", label).split()).casefold()


def _classes(examples: Sequence[Example], labels: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """The task's labels and their rows, most frequent first."""
    counts = Counter(example.target.strip() for example in examples)
    found = [(label, counts[label]) for label in labels if counts[label]]
    return tuple(sorted(found, key=lambda item: (-item[1], item[0])))


def _unseen_labels(labels: Sequence[str], test: Sequence[Example]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    known = set(map(label_key, labels))
    rows: dict[str, list[int]] = {}
    for example in test if labels else ():
        if (target := example.target.strip()) and label_key(target) not in known:
            rows.setdefault(target, []).append(example.row)
    return tuple((label, tuple(found)) for label, found in rows.items())


def _typical(tokens: _Measured, max_length: int) -> Example:
    """The row of median length among those that fit and have a target; the first row if none does."""
    examples = tokens.examples
    sizes = [p + t for p, t in zip(tokens.prompts, tokens.targets, strict=True)]
    fit = [i for i, e in enumerate(examples) if e.target.strip() and sizes[i] <= max_length]
    fit.sort(key=lambda i: (sizes[i], i))
    return examples[fit[(len(fit) - 1) // 2]] if fit else examples[0]
