"""What the values of a column show: how many differ, how long they are, whether they are numbers or spans."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from rung.data.conversations import is_turns
from rung.data.names import Kind, Part, language, parts_of
from rung.data.spans import is_spans
from rung.data.strict_json import show
from rung.data.values import number, truth, unpacked

SAMPLE = 2000  # values of a column that are read
_ID = re.compile(r"[A-Za-z]{0,12}[-_#:/]?\d[\w.:/-]*|[0-9a-f]{8}-[0-9a-f-]{20,}|[\w./:-]*\d[\w./:-]*")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_MAIL = r"(?:[^<>@,;]{0,80}<)?[^\s@<>,;]+@[\w-]+(?:\.[\w-]+)+>?"
_STAMP = re.compile(  # what says when, from where or from whom: never an answer, and no text
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ,].*)?|\d{1,2}:\d{2}(?::\d{2})?(?: ?[ap]\.?m\.?)?"
    r"|(?:https?://|www\.)\S+|@\w+|\d{1,3}(?:\.\d{1,3}){3}"
    rf"|{_MAIL}(?:[,;]\s*{_MAIL})*[,;]?"
    rf"|(?:[a-z]{{3,9}},? )?{_MONTH} \d{{1,2}}\b.*\d{{4}}"
    rf"|(?:[a-z]{{3,9}},? )?\d{{1,2}}\.? {_MONTH},? \d{{4}}.*",
    re.IGNORECASE,
)

_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")


@dataclass(frozen=True, slots=True)
class Column:
    """One column, from its name and its first values."""

    name: str
    place: int
    rows: int
    filled: int  # rows in which it holds something
    different: int
    words: float  # mean per filled cell; two characters of a script without spaces are one
    characters: float
    numbers: bool  # all of them
    truths: bool  # all are true or false (not 0 and 1)
    turns: bool  # most are conversations
    some_turns: bool  # at least one is
    texts: bool  # all are lists of texts
    spans: bool
    objects: bool  # most are objects or lists
    dates: bool  # dates, times, links, user names with @, mail or IP addresses
    ids: bool  # a different value without spaces in every row, or a running number
    sample: str  # a first value, shown short
    known: tuple[tuple[Part, Kind, int], ...]
    language: str | None = None  # that the column is named after

    def may(self, *parts: Part) -> bool:
        """Whether its name allows one of these parts."""
        return any(known in parts for known, _, _ in self.known)

    def only(self, part: Part) -> bool:
        """Whether its name says this part and no other."""
        return bool(self.known) and all(known == part for known, _, _ in self.known)

    def rank(self, part: Part) -> int:
        return min((rank for known, _, rank in self.known if known == part), default=99)

    @property
    def few(self) -> bool:
        """Few short values, each used again: like class labels."""
        least = 2 if self.truths or self.numbers else 1.5
        return (
            not (self.objects or self.dates or self.turns)
            and 2 <= self.different <= min(200, max(2, self.filled / (3 if self.filled > 40 else least)))
            and self.words <= 8
            and self.characters <= 60
        )

    @property
    def free(self) -> bool:
        """Text of several words, different in most rows (or Chinese and the like, of several characters)."""
        if self.objects or self.numbers or self.dates or self.ids or self.turns or self.few:
            return False
        return self.different > 0.5 * self.filled > 0 and (self.words >= 3 or self.characters >= 20)


def facts(name: str, place: int, values: Sequence[Any], is_language: bool = False) -> Column:
    """The facts about one column from up to `SAMPLE` of its values, taken evenly.

    `is_language` says that its name must be a language.
    """
    looked = values[:: max(1, len(values) // SAMPLE)]
    cells = [value for value in looked if value not in (None, "", [], {}) and not _blank(value)]
    texts = [value if isinstance(value, str) else repr(value) for value in cells]
    counts = Counter(text.strip() for text in texts)
    unpack = [unpacked(value) for value in cells[:200]]
    nested = sum(isinstance(value, list | dict) for value in unpack)
    turns = sum(is_turns(value) for value in unpack)
    numbers = bool(cells) and all(number(value) is not None for value in cells)
    return Column(
        name=name,
        place=place,
        rows=len(looked),
        filled=len(cells),
        different=len(counts),
        words=_mean([_words(text) for text in texts]),
        characters=_mean([len(text) for text in texts]),
        numbers=numbers,
        truths=bool(cells) and all(truth(value) is not None and number(value) is None for value in cells),
        turns=turns > 0.5 * len(unpack),
        some_turns=turns > 0,
        texts=bool(unpack) and all(_is_texts(value) for value in unpack),
        spans=bool(unpack) and nested > 0 and _all_spans(unpack),
        objects=nested > 0.5 * len(unpack) if unpack else False,
        dates=bool(cells)
        and (all(_STAMP.fullmatch(text.strip()) for text in texts) or _is_clock(cells, numbers)),
        ids=_is_id(cells, texts, counts, numbers),
        sample=show(texts[0], 60) if texts else "nothing",
        known=tuple(parts_of(name)),
        language=language(name) or (name if is_language else None),
    )


def _blank(value: Any) -> bool:
    return (isinstance(value, str) and not value.strip()) or (isinstance(value, float) and value != value)


def _words(text: str) -> int:
    """Words of a text; of a script without spaces, half its characters."""
    return len(text.split()) + len(_UNSPACED.findall(text)) // 2


def _mean(counts: Sequence[int]) -> float:
    return sum(counts) / len(counts) if counts else 0.0


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)


def _all_spans(values: Sequence[Any]) -> bool:
    """Whether values are lists of spans; some may be empty, not all."""
    full = [value for value in values if value not in ([], {"entities": []})]
    return bool(full) and all(is_spans(value) for value in full)


def _is_clock(cells: Sequence[Any], numbers: bool) -> bool:
    """Whether these are seconds or milliseconds since 1970, of a year from 2001 on."""
    if not numbers:
        return False
    values = [number(cell) or 0.0 for cell in cells]
    return all(1e9 <= value < 2.2e9 for value in values) or all(1e12 <= value < 2.2e12 for value in values)


def _is_id(cells: Sequence[Any], texts: Sequence[str], counts: Counter[str], numbers: bool) -> bool:
    if len(cells) < 3 or len(counts) < len(cells):
        return False
    if numbers:
        values = [number(value) or 0.0 for value in cells]
        steps = [after - before for before, after in pairwise(values)]
        whole = all(value == int(value) for value in values if abs(value) < 1e18)
        return whole and (all(step > 0 for step in steps) or min(values) >= 1e5)
    return all(" " not in text.strip() and _ID.fullmatch(text.strip()) for text in texts)
