"""Texts that know which of their characters came from which message.

A chat template may read what it writes: drop earlier thoughts, skip an empty turn, switch on a word. So it
is given the messages themselves, as texts that keep their origin through what templates do with texts: add,
slice, strip, split, replace, join. What it writes is then known character by character: its own words,
which may be special tokens, and words of a message, which may not.

An operation that is not followed here gives an ordinary text. The characters then count as lost, and
`rung.data.turns` refuses the row: origin is never guessed.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, SupportsIndex

_ESCAPED = re.compile(r"[^ !#-\[\]-~]")  # what JSON may write in another way
_HELD = f"Q{secrets.token_hex(12)}x"


class Span(NamedTuple):
    """Characters `start` to `end` of a text are characters `first` to `last` of message `source`."""

    start: int
    end: int
    source: int
    first: int
    last: int


class Traced(str):
    """A text with its spans, in order. Equal to, and used as, the same text without them."""

    __slots__ = ("_spans",)
    _spans: tuple[Span, ...]

    def __new__(cls, text: str, spans: Iterable[Span] = ()) -> Traced:
        self = super().__new__(cls, text)
        self._spans = tuple(spans)
        return self

    def __str__(self) -> str:
        return self

    def __add__(self, other: str) -> str:
        return joined((self, other)) if isinstance(other, str) else NotImplemented

    def __radd__(self, other: str) -> str:
        return joined((other, self)) if isinstance(other, str) else NotImplemented

    def __getitem__(self, key: SupportsIndex | slice[Any, Any, Any]) -> str:
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            return self._part(start, stop) if step == 1 else super().__getitem__(key)
        at = range(len(self))[key]
        return self._part(at, at + 1)

    def __iter__(self) -> Iterator[str]:
        return (self._part(at, at + 1) for at in range(len(self)))

    def lstrip(self, chars: str | None = None, /) -> str:
        return self._part(len(self) - len(super().lstrip(chars)), len(self))

    def rstrip(self, chars: str | None = None, /) -> str:
        return self._part(0, len(super().rstrip(chars)))

    def strip(self, chars: str | None = None, /) -> str:
        start = len(self) - len(super().lstrip(chars))
        return self._part(start, max(start, len(super().rstrip(chars))))

    def removeprefix(self, prefix: str, /) -> str:
        return self._part(len(self) - len(super().removeprefix(prefix)), len(self))

    def removesuffix(self, suffix: str, /) -> str:
        return self._part(0, len(super().removesuffix(suffix)))

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._cut(super().split(sep, maxsplit), sep)

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._cut(super().rsplit(sep, maxsplit), sep)

    def splitlines(self, keepends: bool = False) -> list[str]:
        lines = self._cut(super().splitlines(True), "")
        return lines if keepends else [line[: len(str.splitlines(line)[0])] for line in lines]

    def partition(self, sep: str, /) -> tuple[str, str, str]:
        head, found, tail = self._cut(super().partition(sep), "")
        return head, found, tail

    def rpartition(self, sep: str, /) -> tuple[str, str, str]:
        head, found, tail = self._cut(super().rpartition(sep), "")
        return head, found, tail

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> str:
        if not old:
            return super().replace(old, new, count)
        return Traced(new, spans(new)).join(self.split(old, count))

    def join(self, parts: Iterable[str], /) -> str:
        between: list[str] = []
        for part in parts:
            between += (self, part) if between else (part,)
        return joined(between)

    def _part(self, start: int, stop: int) -> str:
        if start == 0 and stop == len(self):
            return self
        kept = []
        for span in self._spans:
            a, b = max(span.start, start), min(span.end, stop)
            if a < b or span.start == span.end == a == b:
                first, last = span.first, span.last
                if last - first == span.end - span.start:  # else it is one escaped character
                    first, last = first + a - span.start, last - (span.end - b)
                kept.append(Span(a - start, b - start, span.source, first, last))
        return Traced(super().__getitem__(slice(start, stop)), kept)

    def _cut(self, pieces: Sequence[str], sep: str | None) -> list[str]:
        """The same pieces with their origin; what is between them is `sep`, or spaces where that is None."""
        at, found = 0, []
        for piece in pieces:
            at = self.find(piece, at) if sep is None else at
            found.append(self._part(at, at + len(piece)))
            at += len(piece) + len(sep or "")
        return found


def traced(text: str, source: int) -> Traced:
    """The whole text of message number `source`."""
    return Traced(text, (Span(0, len(text), source, 0, len(text)),))


def spans(text: str) -> tuple[Span, ...]:
    """The spans of a text; none for an ordinary one."""
    return text._spans if isinstance(text, Traced) else ()


def plain(text: str) -> str:
    """The same text without its spans."""
    return str.__getitem__(text, slice(None))


def own(text: str) -> list[tuple[int, int]]:
    """The stretches (start, end) of characters that come from no message."""
    stretches, at = [], 0
    for span in spans(text):
        if at < span.start:
            stretches.append((at, span.start))
        at = span.end
    return [*stretches, (at, len(text))] if at < len(text) else stretches


def joined(parts: Iterable[str]) -> str:
    """``"".join(parts)`` with origin; spans that continue each other become one."""
    parts = list(parts)
    whole: list[Span] = []
    at = 0
    for part in parts:
        if isinstance(part, Traced):
            for start, end, source, first, last in part._spans:
                span = Span(at + start, at + end, source, first, last)
                if whole and whole[-1].end == span.start and _continues(whole[-1], span):
                    span = Span(whole[-1].start, span.end, source, whole.pop().first, last)
                whole.append(span)
        at += len(part)
    text = "".join(parts)
    return Traced(text, whole) if whole else text


def _continues(before: Span, span: Span) -> bool:
    """Whether two neighbours are neighbours in their message too, neither of them an escaped character."""
    straight = all(one.end - one.start == one.last - one.first for one in (before, span))
    return straight and (before.source, before.last) == (span.source, span.first)


def followed(values: Iterable[Any]) -> bool:
    """Whether a text with an origin is among `values`, or in a list among them."""
    return any(
        isinstance(value, Traced) or (isinstance(value, list | tuple) and followed(value)) for value in values
    )


def to_json(value: Any, **options: Any) -> str:
    """``json.dumps`` with origin, an escaped character included."""
    held: list[Traced] = []

    def hide(item: Any) -> Any:
        if isinstance(item, Traced):
            held.append(item)
            return f"{_HELD}{len(held) - 1}y"
        if isinstance(item, dict):
            return {key: hide(part) for key, part in item.items()}
        return [hide(part) for part in item] if isinstance(item, list | tuple) else item

    pieces = re.split(rf"{_HELD}(\d+)y", json.dumps(hide(value), **options))
    plain = options.get("ensure_ascii", True)
    return joined(_escaped(held[int(piece)], plain) if i % 2 else piece for i, piece in enumerate(pieces))


def _escaped(text: Traced, plain: bool) -> str:
    """A text as JSON writes it, without the quotes."""
    pieces, at = [], 0
    for match in _ESCAPED.finditer(text):
        one = text[match.start()]
        code = json.dumps(str.__str__(one), ensure_ascii=plain)[1:-1]
        whole = [span._replace(end=len(code)) for span in spans(one)]
        pieces += [text[at : match.start()], Traced(code, whole)]
        at = match.end()
    return joined([*pieces, text[at:]])
