"""Rows -> examples: each format of a row is one registered function from its keys to chat messages.

==================  ==================================================  =============================
format              keys                                                also read as
==================  ==================================================  =============================
messages            ``messages``: list of {role, content}
sharegpt            ``conversations``: list of {from, value}            {role, content} inside
prompt-completion   ``prompt``, ``completion``: text or lists of turns  question; answer, response
alpaca              ``instruction``, ``output``, and maybe ``input``    response; context
text-label          ``text``, ``label`` (text, whole number or bool)
==================  ==================================================  =============================

The first row's keys choose the format, and every other row must have it too. The target is always the
last turn, the assistant's. Keys that no format knows are allowed and listed in a warning.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from rung.config import Columns
from rung.data.reading import RowFile
from rung.data.strict_json import Row, RowError, show
from rung.errors import nearest
from rung.records import ROLES, Example, Message, Role, TaskKind
from rung.registry import Registry


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file of examples, read and understood."""

    examples: tuple[Example, ...]
    format: str  # name in `FORMATS`
    name: str  # of the file, without folders
    sha256: str  # of the bytes that were read
    warnings: tuple[str, ...] = ()  # lines the user should read
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # part -> its columns
    left_out: tuple[tuple[int, str], ...] = ()  # (row, why): rows that were read and are no examples
    hint: TaskKind | None = None  # the task, where the file's own words say it
    languages: tuple[str, str] | None = None  # of prompt and target, where the file names them
    label_names: Mapping[str, str] = field(default_factory=dict)  # label in the file -> its meaning


@dataclass
class Notes:
    """What was met while reading that the user should know, each thing once."""

    row_keys: dict[str, None] = field(default_factory=dict)
    turn_keys: dict[str, None] = field(default_factory=dict)
    numeric_labels: int = 0

    def warnings(self) -> tuple[str, ...]:
        lines = []
        if self.row_keys:
            lines.append(f"keys that are not used: {_names(self.row_keys)}")
        if self.turn_keys:
            lines.append(f"keys of a turn that are not used: {_names(self.turn_keys)}")
        if self.numeric_labels:
            lines.append(f"{self.numeric_labels} labels are numbers; a base understands words better")
        return tuple(lines)


@dataclass(frozen=True, slots=True)
class Format:
    """One shape of a row. `read` gets the row under the format's own key names."""

    name: str
    needs: tuple[str, ...]
    read: Callable[[Row, Notes], list[Message]]
    may: tuple[str, ...] = ()
    also: Mapping[str, str] = field(default_factory=dict)  # another name of a key -> the key

    def names(self, keys: Iterable[str]) -> dict[str, str]:
        """The keys of a row that this format reads -> its own names for them; an own name wins.

        Raises `RowError` where two keys mean the same.
        """
        own = {key: key for key in keys if key in self.needs or key in self.may}
        others = {key: self.also[key] for key in keys if key in self.also and self.also[key] not in own}
        if len(set(others.values())) < len(others):
            raise RowError(f"has {_names(others)}, of which only one can be read", "Keep one of them")
        return own | others

    def _key(self, key: str) -> str:
        return self.also.get(key, key)

    def missing(self, keys: Iterable[str]) -> list[str]:
        """The needed keys that `keys` lacks."""
        have = {self._key(key) for key in keys}
        return [key for key in self.needs if key not in have]


NOTHING_SAID = Columns()
FORMATS: Registry[Format] = Registry("format")
_CANONICAL = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def register(
    name: str, needs: tuple[str, ...], may: tuple[str, ...] = (), also: Mapping[str, str] | None = None
) -> Callable[[Callable[[Row, Notes], list[Message]]], Format]:
    """Decorator: add a function from row to messages as a format. Order of adding is order of sniffing."""

    def keep(read: Callable[[Row, Notes], list[Message]]) -> Format:
        FORMATS.add(name, Format(name, needs, read, may, also or {}))
        return FORMATS[name]

    return keep


@register("messages", needs=("messages",))
def _messages(row: Row, notes: Notes) -> list[Message]:
    return _turns(row["messages"], "messages", notes)


@register("sharegpt", needs=("conversations",))
def _sharegpt(row: Row, notes: Notes) -> list[Message]:
    return _turns(row["conversations"], "conversations", notes)


@register(
    "prompt-completion",
    needs=("prompt", "completion"),
    also={"question": "prompt", "answer": "completion", "response": "completion"},
)
def _prompt_completion(row: Row, notes: Notes) -> list[Message]:
    messages: list[Message] = []
    for key, role in (("prompt", "user"), ("completion", "assistant")):
        value = row[key]
        if isinstance(value, list):
            messages += _turns(value, key, notes)
        else:
            messages.append(Message(_role(role), _text(value, key)))
    return messages


@register(
    "alpaca",
    needs=("instruction", "output"),
    may=("input",),
    also={"context": "input", "response": "output"},
)
def _alpaca(row: Row, notes: Notes) -> list[Message]:
    parts = [_text(row["instruction"], "instruction")]
    if row.get("input") is not None and _text(row["input"], "input").strip():
        parts.append(row["input"])
    return [Message("user", "\n\n".join(parts)), Message("assistant", _text(row["output"], "output"))]


@register("text-label", needs=("text", "label"))
def _text_label(row: Row, notes: Notes) -> list[Message]:
    label = row["label"]
    if isinstance(label, int):
        notes.numeric_labels += 1
        label = json.dumps(label)
    return [Message("user", _text(row["text"], "text")), Message("assistant", _text(label, "label"))]


def read_examples(path: Path, columns: Columns = NOTHING_SAID) -> Loaded:
    """The examples of a JSONL, JSON, CSV or Parquet file, in file order.

    `columns` is what the user says about the file; without its `format` the first row's keys tell.
    Empty targets are let through (`rung.data.check` reports them). Raises `DataError` that names every bad
    row up to a few, and `UsageError` for an unknown `format`.
    """
    path = Path(path)
    chosen = FORMATS[columns.format] if columns.format is not None else None
    source = RowFile(path, _known())
    notes = Notes()
    examples: list[Example] = []
    for number, row in source:
        keys = source.columns or tuple(row)
        if chosen is None:
            chosen = _sniff(source, number, keys)
        try:
            messages = _read(chosen, row, keys, notes)
            examples.append(example_of(messages, row=number, source=path.name))
        except RowError as error:
            source.problems.add(number, error)
    source.problems.raise_any()
    if chosen is None or not examples:
        source.fail("holds no rows", fix="Put at least 20 examples in it")
    return Loaded(tuple(examples), chosen.name, path.name, source.sha256, notes.warnings())


def example_of(messages: Sequence[Message], row: int = 0, source: str = "") -> Example:
    """An example with its id: the first 16 hex digits of the sha256 of its messages as canonical JSON."""
    plain = [[message.role, message.content] for message in messages]
    return Example(
        hashlib.sha256(_CANONICAL.encode(plain).encode()).hexdigest()[:16], tuple(messages), row, source
    )


def _known() -> frozenset[str]:
    return frozenset(key for _, f in FORMATS.items() for key in (*f.needs, *f.may, *f.also))


def _sniff(source: RowFile, number: int, keys: tuple[str, ...]) -> Format:
    """The first format whose needed keys are all there. Raises `DataError`."""
    chosen = next((known for _, known in FORMATS.items() if not known.missing(keys)), None)
    if chosen is None:
        _no_format(source, number, keys)
    return chosen


def _no_format(source: RowFile, number: int, keys: tuple[str, ...]) -> NoReturn:
    nearly = [(len(f.missing(keys)), f) for _, f in FORMATS.items() if len(f.missing(keys)) < len(f.needs)]
    why = _hint(keys, _known())
    if nearly:
        best = min(nearly, key=lambda pair: pair[0])[1]
        missing = best.missing(keys)
        why = f"For the format {best.name!r} it lacks {_names(missing)}.{_hint(keys, missing) or why}"
    forms = "; ".join(f"{name}: {', '.join(f.needs)}" for name, f in FORMATS.items())
    fix = f"Rename the keys to those of one format ({forms})"
    if source.kind == "csv":
        fix += ", and let the first line of a CSV name its columns"
    found = "the columns are" if source.columns else f"{source.unit} {number} has the keys"
    source.fail(f"no known format; {found} {_names(keys)}", why=why, fix=fix)


def _hint(keys: Iterable[str], wanted: Collection[str]) -> str:
    """A sentence about the first unknown key that is close to a wanted one, or an empty string."""
    for key in keys:
        if key not in _known() and (guess := nearest(key, sorted(wanted))):
            return f" The key {show(key)} is not known.{guess}"
    return ""


def _read(chosen: Format, row: Row, keys: tuple[str, ...], notes: Notes) -> list[Message]:
    """The row as checked messages. Raises `RowError`."""
    if missing := chosen.missing(row):
        other = next((name for name, f in FORMATS.items() if not f.missing(row)), "")
        what = f"lacks {_names(missing)} of the format {chosen.name!r} (keys found: {_names(keys)})"
        if other:
            what += f" and looks like the format {other!r}"
        raise RowError(what, "Give every row of a file the same keys." + _hint(keys, missing))
    names = chosen.names(row)
    notes.row_keys.update((key, None) for key in keys if key not in names)
    messages = chosen.read({name: row[key] for key, name in names.items()}, notes)
    _check(messages)
    return messages


def _check(messages: Sequence[Message]) -> None:
    """Whether the turns make an example. Raises `RowError`."""
    roles = [message.role for message in messages]
    if "assistant" not in roles:
        raise RowError("has no assistant turn, so there is nothing to learn", "Add the wanted answer")
    if roles[-1] != "assistant":
        fix = "End each example with the wanted answer"
        raise RowError(
            f"ends with a {roles[-1]} turn; the last one, the target, must be the assistant's", fix
        )
    if "system" in roles[1:]:
        raise RowError("has a system turn that is not the first turn", "Keep one, at the start")
    if not any(m.role in ("system", "user") and m.content.strip() for m in messages[:-1]):
        raise RowError("has no user or system text before the target", "Add the prompt")


def _turns(value: Any, key: str, notes: Notes) -> list[Message]:
    if not isinstance(value, list):
        raise RowError(
            f"has {show(value)} in {key!r}, not a list of turns", 'Write [{"role": …, "content": …}]'
        )
    if not value:
        raise RowError(f"has no turns in {key!r}", "Add the turns or leave the row out")
    return [_turn(turn, f"turn {number}", notes) for number, turn in enumerate(value, start=1)]


def _turn(turn: Any, where: str, notes: Notes) -> Message:
    if not isinstance(turn, dict):
        raise RowError(f"has {show(turn)} as {where}, not an object with role and content")
    role, content = ("from", "value") if "from" in turn and "role" not in turn else ("role", "content")
    for name in ("tool_calls", "function_call"):
        if turn.get(name):
            raise RowError(f"has {name!r} in {where}, which is not supported", "Write the call as content")
    for name in (role, content):
        if name not in turn:
            raise RowError(f"lacks {name!r} in {where}.{nearest(name, map(str, turn))}".rstrip("."))
    for name, extra in turn.items():
        if name not in (role, content) and extra is not None:
            notes.turn_keys[name] = None
    return Message(_role(turn[role], where), _text(turn[content], where))


_SPEAKERS: dict[str, Role] = {**{role: role for role in ROLES}, "human": "user", "gpt": "assistant"}


def _role(name: Any, where: str = "") -> Role:
    role = _SPEAKERS.get(name) if isinstance(name, str) else None
    if role is None:
        hint = nearest(name, _SPEAKERS) if isinstance(name, str) else ""
        fix = f"Known roles: {', '.join(ROLES)}; human and gpt are read as user and assistant"
        raise RowError(f"has the unknown role {show(name)} in {where}.{hint}".rstrip("."), fix)
    return role


def _text(value: Any, where: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        kinds = [part.get("type") if isinstance(part, dict) else None for part in value]
        texts = [part.get("text") if isinstance(part, dict) else None for part in value]
        if value and all(k == "text" for k in kinds) and all(isinstance(t, str) for t in texts):
            return "".join(t for t in texts if t)
        strange = next((str(kind) for kind in kinds if kind not in (None, "text")), "a list")
        raise RowError(f"has content that is not text in {where} ({show(strange)})", "rung reads text only")
    found = "null" if value is None else f"{show(value)}, a {type(value).__name__}"
    raise RowError(f"has {found} in {where} where text is needed", "Write it as text")


def _names(keys: Iterable[str], most: int = 8) -> str:
    listed = [show(key) for key in keys]
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
