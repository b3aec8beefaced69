"""One cell of a row -> text: everything becomes text by the same rules, whatever the file's format."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass, field
from typing import Any

from rung.data.strict_json import RowError, Written, show

_TEXT_KEYS = ("text", "value", "content")
_THOUGHTS = ("reasoning", "thinking", "thought", "redacted_thinking")
_TYPED = ("text", "input_text", "output_text")
_LONGEST = 1_000_000  # characters of a cell that is looked at for a list or an object


@dataclass
class Seen:
    """What was met in the cells that the user should know, counted."""

    thoughts: int = 0  # typed parts that hold reasoning
    turn_keys: dict[str, None] = field(default_factory=dict)  # keys of turns that are not used
    after_answer: int = 0  # rows whose turns after the last answer were left out
    roleless: int = 0  # conversations whose turns have no roles


def text_of(value: Any, where: str, seen: Seen | None = None) -> str:
    """A value as text: numbers as the file writes them, objects and lists as JSON on one line.

    A list of typed parts (``{"type": "text", "text": …}``) is its text. Nothing is "". Raises `RowError`
    for what has no text: images, bytes.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, Written):
        return value.text
    if isinstance(value, list) and value and all(_is_part(part) for part in value):
        return _typed(value, where, seen)
    if isinstance(value, bytes | bytearray):
        raise RowError(f"has bytes in {where} where text is needed", "rung reads text only")
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        raise RowError(f"has {show(value)} in {where}, which has no text", "rung reads text only") from None


def _is_part(part: Any) -> bool:
    if not isinstance(part, dict) or "function" in part:
        return False
    return (isinstance(part.get("type"), str) and len(part) > 1) or (
        set(part) == {"text"} and isinstance(part["text"], str)
    )


def _typed(parts: list[Any], where: str, seen: Seen | None) -> str:
    texts = []
    for part in parts:
        kind = part.get("type", "text")
        if kind in _THOUGHTS:
            if seen is not None:
                seen.thoughts += 1
            continue
        text = next((part[key] for key in _TEXT_KEYS if isinstance(part.get(key), str)), None)
        if kind not in _TYPED or text is None:
            raise RowError(f"has a part of type {show(kind)} in {where}", "rung reads text only")
        texts.append(text)
    return "".join(texts)


def unpacked(value: Any) -> Any:
    """A list or an object that a cell holds as text, as JSON or as Python wrote it; else the value itself."""
    if not isinstance(value, str) or value[:1] not in ("[", "{") or len(value) > _LONGEST:
        return value
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        return found if isinstance(found, list | dict) else value
    return value


def truth(value: Any) -> bool | None:
    """True or false as a bool, 0 or 1, or a word for it; None for anything else."""
    if isinstance(value, bool):
        return value
    return {
        "true": True,
        "false": False,
        "1": True,
        "0": False,
        "yes": True,
        "no": False,
        "1.0": True,
        "0.0": False,
    }.get(str(value).strip().lower())


def number(value: Any) -> float | None:
    """The number that a cell holds, or None."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None
