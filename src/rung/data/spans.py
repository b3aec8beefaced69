"""Marked spans and tags of words -> ``{type: [words]}``, the object that an extraction task learns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rung.data.strict_json import RowError, show

_START = ("start", "start_offset", "begin", "from", "start_char", "startOffset")
_END = ("end", "end_offset", "stop", "to", "end_char", "endOffset")
_OWN = ("text", "value", "word", "entity_text", "surface", "mention", "name")
_TYPE = ("label", "type", "entity", "entity_group", "tag", "labels", "entity_type", "category", "class")


def is_spans(value: Any) -> bool:
    """Whether a value is a list of spans: objects with start, end and label, or ``[start, end, label]``."""
    items = _items(value)
    return bool(items) and all(_span(item) is not None for item in items)


def span_target(value: Any, text: str) -> tuple[dict[str, list[str]], bool]:
    """``{type: [words of the text]}`` in order of the text (no spans: {}), and whether all places were right.

    Where a span names its own words they count, also where its place is wrong. Raises `RowError` where a span
    without words lies outside of `text`, or has no label.
    """
    found: dict[str, list[str]] = {}
    spans, right = [], True
    for item in _items(value):
        span = _span(item)
        if span is None:
            what = f"has the entity {show(item)}, which lacks a start, an end or a label"
            raise RowError(what, "Give each entity all three")
        start, end, kind = span
        own = _words(item, kind, text)
        inside = 0 <= start < end <= len(text)
        if own is None and not inside:
            what = f"has an entity from {start} to {end} where the text has {len(text)} characters"
            raise RowError(what, "Count characters from 0; the end is the place after the last one")
        words = text[start:end].strip() if inside else ""
        right = right and own in (None, words)
        spans.append((start, end, kind, own or words))
    for _, _, kind, words in sorted(spans):
        found.setdefault(kind, []).append(words)
    return found, right


def _words(item: Any, kind: str, text: str) -> str | None:
    """The words of the text that a span gives itself, next to their place."""
    if not isinstance(item, dict):
        return None
    own = (item[name] for name in _OWN if isinstance(item.get(name), str) and item[name] != kind)
    return next((words.strip() for words in own if words.strip() and words.strip() in text), None)


def is_tags(tokens: Any, tags: Any) -> bool:
    """Whether `tags` are BIO tags, one for each of `tokens`."""
    if not isinstance(tokens, list) or not isinstance(tags, list) or len(tokens) != len(tags) or not tags:
        return False
    return all(isinstance(tag, str) and (tag == "O" or tag[1:2] in ("-", "_")) for tag in tags)


def tag_spans(tokens: Sequence[str], tags: Sequence[str]) -> dict[str, list[str]]:
    """``{type: [words]}`` from BIO (or BIOES, BILOU) tags, words joined by spaces."""
    found: dict[str, list[str]] = {}
    last: str | None = None
    for token, tag in zip(tokens, tags, strict=True):
        mark, kind = (tag[:1], tag[2:]) if tag != "O" else ("O", "")
        if mark == "O":
            last = None
        elif mark in "IEML" and kind == last:
            found[kind][-1] += f" {token}"
        else:
            found.setdefault(kind, []).append(token)
            last = kind
        if mark in "EL" and kind == last:
            last = None
    return found


def _items(value: Any) -> list[Any]:
    if isinstance(value, dict) and set(value) == {"entities"}:
        value = value["entities"]
    return value if isinstance(value, list) else []


def _span(item: Any) -> tuple[int, int, str] | None:
    if isinstance(item, dict):
        start, end, kind = (
            next((item[name] for name in names if name in item), None) for names in (_START, _END, _TYPE)
        )
        if isinstance(kind, list) and len(kind) == 1:
            kind = kind[0]
    elif isinstance(item, list | tuple) and len(item) == 3:
        start, end, kind = item
    else:
        return None
    if type(start) is int and type(end) is int and isinstance(kind, str) and kind:
        return start, end, kind
    return None
