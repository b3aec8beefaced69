"""Tool calls that a text writes as JSON, turned into Python calls: a model may answer in the form it knows.

Read are an object with a name and its arguments, several of them one after the other or in a list, inside
``{"tool_calls": [...]}``, in the ``function`` of an OpenAI call, in a fence or between ``<tool_call>`` tags.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from rung.data.conversations import is_call, written_calls
from rung.data.strict_json import RowError
from rung.strict import strict_decoder

_OPENING = re.compile(r"[\[{]")
_AROUND = re.compile(
    r"```[^\n`]*\n?|</?\s*(?:tool_calls?|function_calls?|functioncall)\s*>|<\|[\w ]*\|>|\[TOOL_CALLS\]"
)
_TRIES: Final = 64  # brackets at which JSON is looked for
_LISTS = ("tool_calls", "function_calls", "calls")
_DECODER = strict_decoder(ValueError)


def is_json(text: str) -> bool:
    """Whether a text begins as JSON does, tags and fences left aside."""
    return _AROUND.sub("", text[:200]).lstrip()[:1] in ("{", "[")


def calls_in_json(text: str) -> str:
    """The calls in the JSON values of `text` as Python calls, one a line; "" where no value is a call."""
    found: list[str] = []
    for value in _values(_AROUND.sub(" ", text)):
        try:
            found += [written_calls(call, "the answer") for call in _calls(value)]
        except RowError:
            continue
    return "\n".join(found)


def _calls(value: Any) -> list[Any]:
    """The calls that a JSON value is; [] where it is none."""
    if isinstance(value, dict):
        inner = next((value[key] for key in _LISTS if isinstance(value.get(key), list)), None)
        value = inner if inner is not None else [value]
    calls = value if isinstance(value, list) else []
    return calls if all(is_call(call) for call in calls) else []


def _values(text: str) -> Iterator[Any]:
    """The JSON objects and lists in `text`, the outer ones."""
    place = 0
    for _ in range(_TRIES):
        opening = _OPENING.search(text, place)
        if opening is None:
            return
        try:
            value, place = _DECODER.raw_decode(text, opening.start())
        except (json.JSONDecodeError, ValueError, RecursionError):
            place = opening.end()
            continue
        yield value
