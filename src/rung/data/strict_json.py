"""Text -> JSON values, strictly: much that Python's own reader lets through is refused.

Refused are duplicate keys, NaN and infinities, half characters (lone surrogates), huge integers and
deep nesting; each with a `RowError` that finishes the sentence "line 7 ...".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from rung.strict import strict_decoder

MAX_LINE = 1_000_000  # bytes of one line of text, or characters of one item of a JSON array
MAX_DEPTH = 100  # nested objects and lists
MAX_DIGITS = 4300  # of an integer; Python's own limit

Row = dict[str, Any]

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_NESTING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{]|[\]}]', re.DOTALL)
_SPACE = re.compile(r"[ \t\r\n]*")


class RowError(ValueError):
    """Why one row cannot be used, as the end of a sentence, and what to do about it."""

    def __init__(self, what: str, fix: str = "") -> None:
        self.fix = fix
        super().__init__(what)


def show(value: object, length: int = 40) -> str:
    """A value of the user's as one short, quoted piece of text with nothing unprintable in it."""
    text = value if isinstance(value, str) else repr(value)
    return repr(text if len(text) <= length else text[: length - 1] + "…")


def as_object(value: object) -> Row:
    if isinstance(value, dict):
        return value
    raise RowError(f"is {show(value)}, not an object", 'Write each example as one object, {"prompt": …}')


def decode_line(text: str) -> Any:
    """One JSON value. Raises `RowError`."""
    _check_depth(text)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text) or error.msg.startswith("Unterminated string"):
            fix = "Put each object on one line; if this is the last line, the file may be cut short"
            raise RowError("ends before its JSON object does", fix) from error
        what = f"is not valid JSON ({error.msg}, column {error.colno})"
        raise RowError(what, "Repair it, or leave it out") from error
    _check_surrogates(text, value)
    return value


def decode_document(text: str) -> Any:
    """The one JSON value that `text` is. Raises `RowError`."""
    _check_depth(text)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        what = f"is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        raise RowError(what, "If this is the end of the file, it may be cut short") from error
    _check_surrogates(text, value)
    return value


def array_items(text: str) -> Iterator[tuple[int, Any]]:
    """The items of a JSON array with their 1-based numbers. Raises `JSONDecodeError` or `RowError`."""
    place = _skip(text, _skip(text, 0) + 1)
    number = 0
    done = text.startswith("]", place)
    while not done:
        number += 1
        try:
            value, end = _DECODER.raw_decode(text, place)
        except RecursionError:
            raise _too_deep() from None
        if end - place > MAX_LINE:
            raise RowError(f"is longer than {MAX_LINE:,} characters", "Shorten it or leave it out")
        _check_depth(text[place:end])
        _check_surrogates(text[place:end], value)
        yield number, value
        place = _skip(text, end)
        done = text.startswith("]", place)
        if not done and not text.startswith(",", place):
            raise json.JSONDecodeError("Expecting ',' or ']'", text, place)
        place = place if done else _skip(text, place + 1)
    if text[place + 1 :].strip():
        raise json.JSONDecodeError("Text after the end of the array", text, place + 1)


def _skip(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def _too_deep() -> RowError:
    return RowError(f"is nested more than {MAX_DEPTH} levels deep", "Flatten it")


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for match in _NESTING.finditer(text):
        mark = match[0]
        depth += (mark in "[{") - (mark in "]}")
        if depth > MAX_DEPTH:
            raise _too_deep()


def _check_surrogates(text: str, value: Any) -> None:
    if _SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            what = "holds half of a character (a lone surrogate such as \\ud800)"
            raise RowError(what, "Write the whole character, or leave it out") from error


def _whole(digits: str) -> int:
    if (length := len(digits.lstrip("-"))) > MAX_DIGITS:
        raise RowError(f"holds a number of {length:,} digits", "Write it as text")
    return int(digits)


class Written(float):
    """A number that remembers how the file writes it: 1.50 stays 1.50 where it becomes text."""

    text: str


def _real(digits: str) -> float:
    number = Written(digits)
    number.text = digits
    if number in (float("inf"), float("-inf")):
        raise RowError(f"holds the number {show(digits)}, which is too large", "Write it as text")
    return number


_DECODER = strict_decoder(RowError, parse_int=_whole, parse_float=_real)
