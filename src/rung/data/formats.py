"""Rows -> examples: each column gets a part, each row becomes a conversation whose last turn is the target.

    open_rows -> facts -> decide -> one example a row -> marks taken off

A format is the name of a combination of parts, for the screen; a new dialect is a name in `data/names.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rung.config import Columns
from rung.data import names
from rung.data.conversations import is_turns
from rung.data.deciding import decide
from rung.data.facts import facts
from rung.data.marks import Cut, Edges, Marks, cut_texts, edges
from rung.data.memory import Rows
from rung.data.parts import Parts, Reading, Sheet
from rung.data.reading import RowFile, open_rows
from rung.data.rejected import BEGINNING, changed_rejected, common_beginnings, cut_facts, cuts_both
from rung.data.rows import Builder, Left
from rung.data.strict_json import Row, RowError, show
from rung.data.tables import MAX_COLUMNS
from rung.errors import DataError, UsageError, nearest
from rung.records import Example, Message, TaskKind

FORMATS: Mapping[str, str] = {
    "messages": "a list of turns with role and content",
    "sharegpt": "a list of turns with from and value",
    "prompt-completion": "prompt and completion, question and answer, and the like",
    "alpaca": "instruction, input, output",
    "text-label": "one or more texts and a label",
    "preference": "a prompt, a chosen and a rejected answer",
    "translation": "two languages",
    "spans": "a text and marked spans or tags",
    "instructions": "a prompt and rules that its answer has to follow, with or without an answer",
    "text": "one text that holds prompt and answer, or all of which is learned",
}
"""Names of the combinations of parts -> what they are."""

NOTHING_SAID = Columns()
_CANONICAL = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file of examples, read and understood."""

    examples: tuple[Example, ...]
    format: str  # name in `FORMATS`
    name: str  # of the file, without folders
    sha256: str  # of the bytes that were read
    warnings: tuple[str, ...] = ()  # lines the user should read
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # part -> its columns
    parts_line: str = ""  # "prompt: title, text; target: rating; id: row; not used: user_name"
    left_out: tuple[tuple[int, str], ...] = ()  # (row, why): rows that were read and are no examples
    hint: TaskKind | None = None  # the task, where the file's own words say it
    languages: tuple[str, str] | None = None  # of prompt and target, where the file names them
    label_names: Mapping[str, str] = field(default_factory=dict)  # label in the file -> its meaning
    reading: Reading = field(default_factory=Reading)  # how a row became a prompt


def read_examples(source: Path | Rows, columns: Columns = NOTHING_SAID) -> Loaded:
    """The examples of a file of any kind that docs/data.md lists, or of rows in memory, in their order.

    `columns` is what the user says about the file. Empty targets are let through (`rung.data.check` reports
    them); rows that are no examples, such as unwanted answers, are in `Loaded.left_out`. Raises `DataError`
    for a file that holds no rows, for rows that cannot be used and where two readings are left over, and
    `UsageError` for a format or column that does not exist.
    """
    if columns.format is not None and columns.format not in FORMATS:
        raise UsageError(
            f"unknown format {columns.format!r}.{nearest(columns.format, FORMATS)}",
            fix=f"Known: {', '.join(FORMATS)}",
        )
    if isinstance(source, Rows):
        rows = enumerate(source.rows, start=1)
        opened = RowFile(source.name, source.name, source.sha256, "memory", rows, source.columns)
        opened.class_names = source.class_names
        return read_rows(opened, columns)
    return read_rows(open_rows(Path(source), names.is_name, columns.header), columns)


def read_rows(source: RowFile, columns: Columns = NOTHING_SAID) -> Loaded:
    """The examples in rows that have been opened; see `read_examples`."""
    rows = list(source)
    table, order = _unquoted(*_unfolded([row for _, row in rows], source), source)
    if not rows:
        source.problems.raise_any()
        source.fail("holds no rows", fix="Put at least 20 examples in it")
    _require_keys(order, source)
    values = {name: [row.get(name) for row in table] for name in order}
    found = [facts(name, i, values[name], name in source.languages) for i, name in enumerate(order)]
    table_header = source.kind == "csv" and source.header
    try:
        parts = decide(Sheet(found, columns, values, source.where, source.name, table_header))
    except DataError:
        source.problems.raise_any()  # rows that cannot be read come first: they may be why
        raise
    format = _format(parts, table)
    _require_format(columns, format, source)
    builder = Builder(parts, columns, source)
    examples: list[Example] = []
    left: list[Left] = []
    for (number, _), row in zip(rows, table, strict=True):
        try:
            built = builder.read(row)
        except RowError as error:
            source.problems.add(number, error)
            continue
        if isinstance(built, str):
            left.append((number, built))
        else:
            examples.append(example_of(built.messages, number, source.name, built.group, built.facts))
    source.problems.raise_any()
    notes = [*source.notes, *parts.notes]
    marks, around = Marks(), Edges()
    if parts.whole:
        examples, marks = _cut(examples, source, parts, notes)
    if not parts.learned and format != "messages":
        examples, around = _unmarked(examples, notes)
    if not examples:
        source.fail(*_nothing(left, len(rows)))
    notes += builder.notes()
    return Loaded(
        tuple(examples),
        format,
        source.name,
        source.sha256,
        tuple(dict.fromkeys(notes)),
        {part: tuple(found) for part, found in parts.of.items() if found},
        parts.line(columns.source if columns.source in values else None),
        tuple(left),
        _hint(parts, columns, format),
        parts.languages,
        dict(columns.label_names),
        _reading(parts, columns, source, table, around, marks),
    )


def _require_keys(order: Sequence[str], source: RowFile) -> None:
    """Raises `DataError` for rows with no keys, and with too many different ones to look through."""
    if not order:
        source.fail("holds rows without a single key", fix='Write each as {"prompt": …, "completion": …}')
    if len(order) > MAX_COLUMNS:
        source.fail(
            f"has rows with {len(order):,} different keys; {MAX_COLUMNS:,} is the most",
            fix="Give every row the same few keys",
        )


def example_of(
    messages: Sequence[Message],
    row: int = 0,
    source: str = "",
    group: str = "",
    facts: Mapping[str, Any] | None = None,
) -> Example:
    """An example with its id: the first 16 hex digits of the sha256 of its messages, and of its facts where
    it has any, as canonical JSON."""
    plain: list[Any] = [[message.role, message.content] for message in messages]
    if facts:
        plain.append(dict(facts))
    return Example(
        hashlib.sha256(_CANONICAL.encode(plain).encode()).hexdigest()[:16],
        tuple(messages),
        row,
        source,
        group,
        facts or {},
    )


def _unfolded(rows: Sequence[Row], source: RowFile) -> tuple[list[Row], list[str]]:
    """Rows with a ``translation: {en, fr}`` taken apart into its languages, and all column names in order."""
    order = list(source.columns) or list(dict.fromkeys(key for row in rows for key in row))
    folded = next((name for name in order if names.plain(name) == "translation"), None)
    inner = [row.get(folded) for row in rows if isinstance(row.get(folded), dict)] if folded else []
    if folded is None or len(inner) < len(rows):
        return list(rows), order
    keys = list(dict.fromkeys(key for value in inner if isinstance(value, dict) for key in value))
    source.notes.append(f"{show(folded)} holds {len(keys)} languages: {', '.join(keys)}")
    source.languages = tuple(keys)
    place = order.index(folded)
    order[place : place + 1] = [key for key in keys if key not in order]
    return [{k: v for k, v in row.items() if k != folded} | row[folded] for row in rows], order


def _unquoted(rows: list[Row], order: list[str], source: RowFile) -> tuple[list[Row], list[str]]:
    """Rows and column names with the quote marks around names taken off; two names stay different."""
    bare = Counter(map(names.unquoted, order))
    new = {name: one for name in order if (one := names.unquoted(name)) != name and bare[one] == 1}
    if not new:
        return rows, order
    source.class_names = {new.get(name, name): found for name, found in source.class_names.items()}
    source.languages = tuple(new.get(name, name) for name in source.languages)
    rows = [{new.get(name, name): value for name, value in row.items()} for row in rows]
    return rows, [new.get(name, name) for name in order]


def _format(parts: Parts, rows: Sequence[Row]) -> str:
    """The name of the combination of parts."""
    if parts.learned or parts.whole:
        return "text"
    if parts["rejected"]:
        return "preference"
    if parts["rules"]:
        return "instructions"
    if name := parts.one("conversation"):
        first = next((value for row in rows if (value := row.get(name))), None)
        turn = first[0] if isinstance(first, list) and first else None
        shared = isinstance(turn, dict) and "from" in turn
        return "sharegpt" if shared or names.plain(name) == "conversations" else "messages"
    if parts.languages:
        return "translation"
    if parts.spans or parts.tags:
        return "spans"
    if parts.kind == "label":
        return "text-label"
    instructed = names.plain(parts["prompt"][0]).startswith("instruction") if parts["prompt"] else False
    return "alpaca" if instructed else "prompt-completion"


def _require_format(columns: Columns, found: str, source: RowFile) -> None:
    asked = columns.format
    near = {"text-label", "prompt-completion", "alpaca", "translation", "instructions"}
    if (
        asked is None
        or asked == found
        or {asked, found} <= near
        or {asked, found} <= {"messages", "sharegpt"}
    ):
        return
    source.fail(
        f"is not of the format {asked!r} ({FORMATS[asked]}), but of {found!r}", fix="Leave out --format"
    )


def _hint(parts: Parts, columns: Columns, format: str) -> TaskKind | None:
    if columns.classification or columns.format == "text-label" or parts.kind == "label":
        return "classification"
    if parts.indicators:
        return "multi_label"
    if parts.learned:
        return "generation"
    if parts["tools"]:
        return "api_call"
    if format == "instructions":
        return "instructions"
    return "translation" if format == "translation" else None


def _reading(
    parts: Parts, columns: Columns, source: RowFile, rows: Sequence[Row], around: Edges, marks: Marks
) -> Reading:
    return Reading(
        {part: tuple(found) for part, found in parts.of.items() if found},
        tags=parts.tags,
        options=parts.options,
        whole=parts.whole,
        learned=parts.learned,
        turns=_asks_in_turns(parts, rows),
        header=source.header if source.kind in ("csv", "excel") else None,
        roles=columns.roles,
        start=around.start,
        end=around.end,
        cut=marks,
    )


def _asks_in_turns(parts: Parts, rows: Sequence[Row]) -> bool:
    """Whether a prompt is a list of turns in one column."""
    names = parts["conversation"] or parts["prompt"] or parts["target"]
    return len(names) == 1 and is_turns(next((value for row in rows if (value := row.get(names[0]))), None))


def _cut(
    examples: Sequence[Example], source: RowFile, parts: Parts, notes: list[str]
) -> tuple[list[Example], Marks]:
    """Examples of one text each, cut into prompt and answer at the marks that all of them share."""
    found = cut_texts([example.target for example in examples])
    if (found is None or not cuts_both(examples, found)) and (shared := common_beginnings(examples)):
        found = Cut(BEGINNING, shared, Marks())
    if found is None:
        source.fail(
            f"holds text without a prompt (column {show(parts['prompt'][0])})",
            why="rung compares prompts with tuning and needs to know where the answer begins",
            fix="Give a column for each (--prompt, --completion), or learn all of the text with "
            f"--text {parts['prompt'][0]}",
        )
    notes.append(f"each text is cut into prompt and answer at {found.by}")
    kept = []
    for example, messages in zip(examples, found.messages, strict=True):
        while messages and messages[-1].role != "assistant":
            messages = messages[:-1]
        if not messages or len(messages) < 2:
            fix = "Write prompt and answer as in the other rows, or leave it out"
            source.problems.add(example.row, RowError(f"lacks {found.by}, where the others are cut", fix))
            continue
        if example.prompt and messages[0].role != "system":
            messages = [*example.prompt, *messages]
        facts = cut_facts(example, messages, found)
        kept.append(example_of(messages, example.row, example.source, example.group, facts))
    source.problems.raise_any()
    return kept, found.marks


def _unmarked(examples: Sequence[Example], notes: list[str]) -> tuple[list[Example], Edges]:
    """Examples without the marks that their prompts, or their targets, share at their edges; and the marks
    of the prompts."""
    if any(len(example.messages) > 3 for example in examples[:50]):
        return list(examples), Edges()
    users = [next((m.content for m in reversed(e.prompt) if m.role == "user"), "") for e in examples]
    asked, answered = edges(users), edges([example.target for example in examples])
    if not asked.end.strip():  # a space or line break around a prompt alone is its owner's
        asked = Edges(asked.start if asked.start.strip() else "", "")
    said = [text for text in (_said("prompt", asked), _said("target", answered)) if text]
    if not said:
        return list(examples), Edges()
    notes.append(f"{' and '.join(said)}: marks of completion models, left out")
    changed = []
    for example in examples:
        last = max((i for i, m in enumerate(example.prompt) if m.role == "user"), default=-1)
        messages = [
            replace(m, content=asked.cut(m.content)) if i == last else m for i, m in enumerate(example.prompt)
        ]
        messages.append(replace(example.messages[-1], content=answered.cut(example.target)))
        facts = changed_rejected(example, answered.cut)
        changed.append(example_of(messages, example.row, example.source, example.group, facts))
    return changed, asked


def _said(what: str, found: Edges) -> str:
    """``every prompt ends with ' ->'``; a space in front goes without saying where there is more to say."""
    start = found.start if found.start.strip() or not found.end else ""
    ways = [f"{way} with {show(mark)}" for way, mark in (("begins", start), ("ends", found.end)) if mark]
    return f"every {what} {' and '.join(ways)}" if ways else ""


def _nothing(left: Sequence[Left], rows: int) -> tuple[str, str]:
    if not left:
        return "holds no rows", ""
    why, count = Counter(reason for _, reason in left).most_common(1)[0]
    return f"holds no example: {count:,} of {rows:,} rows are left out because {why}", ""
