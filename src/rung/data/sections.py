"""Sections of a document -> passages of about 120 words, cut between paragraphs, else between sentences."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rung.records import Passage

WORDS = 120  # of a passage, about
_MOST = 160  # words of a paragraph that stays whole
_LONGEST_SENTENCE = 240  # words; a longer one is cut between words
_CHARACTERS = 8  # that count as a word in scripts without spaces
_ABBREVIATION = re.compile(
    r"(?:\b(?:Dr|Mr|Mrs|Ms|Prof|St|No|Nr|vs|etc|approx|e\.g|i\.e|bzw|z\.B|Inc|Ltd|Co|Jr|Sr|Fig)|\b[A-Z])\.$"
)
_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])")  # what a sentence ends with


@dataclass(frozen=True, slots=True)
class Section:
    """The paragraphs under one heading."""

    title: str  # the headings above it, the outermost first, joined by " > "; "" where there are none
    paragraphs: tuple[str, ...]


def passages_of(sections: Sequence[Section], name: str, source: str) -> tuple[Passage, ...]:
    """The passages of one document called `name`, read from `source`, in their order.

    None runs over a heading. Two with the same title and text are one.
    """
    found: dict[str, Passage] = {}
    for section in sections:
        title = section.title or name
        for text in _joined(section.paragraphs):
            mark = hashlib.sha256(f"{source}\0{title}\0{text}".encode()).hexdigest()[:16]
            found.setdefault(mark, Passage(mark, text, title, source))
    return tuple(found.values())


def sentences(text: str) -> list[str]:
    """The sentences of `text`, without the spaces around them. A full stop after a known abbreviation, or
    before a small letter, ends none."""
    found, start = list[str](), 0
    for match in _END.finditer(text):
        before = text[max(start, match.start() - 12) : match.start()]
        after = text[match.end() : match.end() + 1]
        if after.islower() or _ABBREVIATION.search(before):
            continue
        found.append(text[start : match.end()].strip())
        start = match.end()
    return [one for one in [*found, text[start:].strip()] if one]


def size(text: str) -> float:
    """Words of a text; where there are few spaces, as in Chinese, some characters count as one."""
    return max(len(text.split()), len(text) / _CHARACTERS)


def _joined(paragraphs: Sequence[str]) -> Iterator[str]:
    """Texts of about `WORDS` words, made of whole paragraphs where these are not too long."""
    held: list[str] = []
    words = 0.0
    for part in (part for paragraph in paragraphs for part in _parts(paragraph)):
        more = size(part)
        if held and words + more > WORDS and abs(words - WORDS) <= abs(words + more - WORDS):
            yield "\n\n".join(held)
            held, words = [], 0.0
        held.append(part)
        words += more
    if held:
        yield "\n\n".join(held)


def _parts(paragraph: str) -> list[str]:
    """The paragraph whole, or pieces of nearly equal size that end with a sentence, or a line of a list."""
    words = size(paragraph)
    if words <= _MOST:
        return [paragraph]
    lines = paragraph.split("\n") if paragraph.count("\n") >= words // WORDS else [paragraph]
    between = "\n" if len(lines) > 1 else " "
    units = [unit for line in lines for unit in _units(line)]
    if all(one.endswith(("。", "！", "？")) for one in units[:-1]):
        between = ""
    most = words / round(words / WORDS)
    pieces, held, count = list[str](), list[str](), 0.0
    for unit in units:
        if held and count + size(unit) / 2 > most:
            pieces.append(between.join(held))
            held, count = [], 0.0
        held.append(unit)
        count += size(unit)
    return [*pieces, between.join(held)] if held else pieces


def _units(line: str) -> Iterator[str]:
    """Sentences of a line; one that is far too long is cut between words, or between characters."""
    for sentence in sentences(line):
        if size(sentence) <= _LONGEST_SENTENCE:
            yield sentence
            continue
        held = ""
        for word in sentence.split():
            while len(word) > WORDS * _CHARACTERS:
                if held:
                    yield held
                held, word = word[: WORDS * _CHARACTERS], word[WORDS * _CHARACTERS :]
            if held and size(f"{held} {word}") > WORDS:
                yield held
                held = word
            else:
                held = f"{held} {word}".strip()
        if held:
            yield held
