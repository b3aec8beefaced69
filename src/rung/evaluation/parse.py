"""Labels and JSON objects in the text of a completion, or None: unparsed.

Reading is generous about the wrapping (prefixes, quotes, code fences) and strict about the content:
an answer that can be read two ways is not an answer.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

_WRAPPING = " \t\r\n\"'`“”‘’«».,;:!?*()[]{}<>"
_TAIL = re.compile(r"^[\w\s'*-]{0,60}?(?::|=|\bis\b)\s*(\S.*)$", re.IGNORECASE)
_NEGATED = re.compile(r"(?:\bnot|n['’]t|\bnever)(?:\s+\w+)?\s*[\"'“*]*$", re.IGNORECASE)


# --- labels -----------------------------------------------------------------------------------------


def read_label(text: str, labels: Sequence[str]) -> str | None:
    """The label that `text` gives, as written in `labels`, or None.

    In turn: the whole text is a label; its first line is; its first line ends in one after a ``:``,
    ``=`` or "is" ("The sentiment is positive."); it names one label as a whole word and no other, not
    behind a "not".  Labels are compared exactly first, then without case, then without the quotes
    and punctuation around them; a looser reading that fits two labels is not taken.  Labels of one character
    ("A", "1") are too common in prose to be looked for there: they count alone, after the prefix, or in front
    as in "B) Paris".
    """
    names = tuple(labels)
    first = next((line for line in text.splitlines() if line.strip(_WRAPPING)), "")
    tail = _TAIL.match(first.strip())
    for part in (text, first, tail[1] if tail else ""):
        label = _equal_label(part, names) or _leading_label(part, names)
        if label is not None:
            return label
    return _mentioned_label(text, names)


_READINGS: tuple[Callable[[str], str], ...] = (
    str.strip,
    lambda text: " ".join(unicodedata.normalize("NFKC", text).casefold().split()),
    lambda text: re.sub(
        r"(?<=\w)[\s_-]+(?=\w)", " ", unicodedata.normalize("NFKC", text).casefold().strip(_WRAPPING)
    ),
)


@lru_cache(maxsize=64)
def _tables(labels: tuple[str, ...]) -> tuple[dict[str, str | None], ...]:
    """Per reading: what a label looks like -> the label, or None where two look alike."""
    tables: list[dict[str, str | None]] = []
    for reading in _READINGS:
        table: dict[str, str | None] = {}
        for label in labels:
            key = reading(label)
            table[key] = label if table.get(key, label) == label else None
        tables.append(table)
    return tuple(tables)


def _equal_label(text: str, labels: tuple[str, ...]) -> str | None:
    for reading, table in zip(_READINGS, _tables(labels), strict=True):
        key = reading(text)
        if key and table.get(key) is not None:
            return table[key]
    return None


def _leading_label(text: str, labels: tuple[str, ...]) -> str | None:
    found = re.match(r"\W*(\w)(?=[)\]:,]|\.(?!\d))", text)
    return found[1] if found and found[1] in labels else None


@lru_cache(maxsize=64)
def _mention(labels: tuple[str, ...]) -> re.Pattern[str] | None:
    """Finds labels as whole words, the longer of two that overlap ("not spam", not "spam")."""
    long = sorted((label.strip() for label in labels if len(label.strip()) > 1), key=len, reverse=True)
    if not long:
        return None
    either = "|".join(re.escape(label) for label in long)
    return re.compile(rf"(?<![\w-])(?<!\d[.,])(?:{either})(?![\w+#]|-\w|[.,]\d)", re.IGNORECASE)


def _mentioned_label(text: str, labels: tuple[str, ...]) -> str | None:
    pattern = _mention(labels)
    if pattern is None:
        return None
    found = set()
    for mention in pattern.finditer(text):
        label = _equal_label(mention[0], labels)
        if label is None or _NEGATED.search(text, max(0, mention.start() - 40), mention.start()):
            return None
        found.add(label)
    return found.pop() if len(found) == 1 else None


# --- JSON objects -----------------------------------------------------------------------------------


def read_object(text: str) -> dict[str, Any] | None:
    """The first balanced JSON object in `text`, or None.

    Prose and code fences around it are passed over.  A key given twice, NaN and Infinity, a list
    instead of an object, and an object without its end are refused: None.
    """
    start = text.find("{")
    if start > 0 and _is_list(text, text.find("[", 0, start)):
        return None
    while start >= 0:
        try:
            value, _ = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError) as fault:
            end = _end_of(text, start)
            if isinstance(fault, _Refused) or end is None:
                return None
            start = text.find("{", end)
            continue
        return value if isinstance(value, dict) else None
    return None


class _Refused(ValueError):
    """Well-formed JSON that cannot be taken at its word."""


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Refused("a key is given twice")
    return value


def _no_constant(name: str) -> Any:
    raise _Refused(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_no_twins, parse_constant=_no_constant)


def _is_list(text: str, start: int) -> bool:
    if start < 0:
        return False
    try:
        _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return False
    return True


def _end_of(text: str, start: int) -> int | None:
    """Position after the bracket that closes the one at `start`; None where it is never closed."""
    depth, quoted, position = 0, False, start
    while position < len(text):
        character = text[position]
        if quoted and character == "\\":
            position += 1
        elif character == '"':
            quoted = not quoted
        elif not quoted and character in "{}":
            depth += 1 if character == "{" else -1
            if depth == 0:
                return position + 1
        position += 1
    return None
