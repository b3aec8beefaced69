"""Values that are not in the text: made up, where the rows to learn from copy theirs.

A field is copied where nearly all of its train values stand in the prompt. Other fields, such as an intent or
a date in another form, are never taken for made up.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rung.evaluation.fields import leaves
from rung.records import Message

_COPIED = 0.95  # of a field's train values that stand in their text
_FEWEST = 10  # values of a field that are looked at


def text_of(prompt: Sequence[Message]) -> str:
    """What the user's turns of a row say, in the form in which values are looked for."""
    return _folded("\n".join(message.content for message in prompt if message.role == "user"))


def copied_paths(rows: Iterable[tuple[str, Any]]) -> list[str]:
    """The fields that are copied, such as ``lines[].price``, from pairs of `text_of` and target value."""
    seen, there = Counter[str](), Counter[str]()
    for text, value in rows:
        for path, leaf in leaves(value):
            if (wanted := _folded_value(leaf)) is not None:
                seen[path] += 1
                there[path] += wanted in text
    return sorted(path for path, n in seen.items() if n >= _FEWEST and there[path] >= _COPIED * n)


def made_up(text: str, value: Any, paths: Iterable[str]) -> tuple[int, int]:
    """Of the values of `value` in the fields `paths`: how many are not in `text`, and how many there are."""
    known = set(paths)
    found = [_folded_value(leaf) for path, leaf in leaves(value) if path in known]
    values = [one for one in found if one is not None]
    return sum(one not in text for one in values), len(values)


def _folded_value(leaf: Any) -> str | None:
    """A string or number as it is looked for; None for what has no text."""
    if isinstance(leaf, bool) or not isinstance(leaf, str | int | float):
        return None
    whole = isinstance(leaf, float) and leaf.is_integer()
    return _folded(str(int(leaf) if whole else leaf)) or None


def _folded(text: str) -> str:
    """Without case, with single spaces, composed."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())
