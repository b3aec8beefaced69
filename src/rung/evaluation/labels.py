"""When two labels are the same: by spelling, and, for answers, by looser rules."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import lru_cache

WRAPPING = " \t\r\n\"'`“”‘’«».,;:!?*()[]{}<>…。，、；：！？（）【】《》「」『』"
_NO_BREAK = str.maketrans({"\u00a0": " ", "\u2007": " ", "\u202f": " "})
_SELECTORS = str.maketrans({"\ufe0e": None, "\ufe0f": None})  # text or emoji form of one character
_JOINER = "\u200d"  # joins emoji
_MINUS = re.compile(r"(?<!\w)[−–](?=\d)")
_SIGN = re.compile(r"(?:[<>]|(?<![.,])[.,])$")  # belongs to the number behind it
_JOINT = re.compile(r"(?<=\w)(?:[\s_-]+(?=[^\W\d])|[\s_]+(?=\d)|-(?=\d))")
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)", re.ASCII)


def spelling(label: str) -> str:
    """The canonical spelling of a label: NFC, no-break spaces as spaces, none around it."""
    return unicodedata.normalize("NFC", label).translate(_NO_BREAK).strip()


def plain_text(text: str) -> str:
    """`spelling`, with emoji in one form and a minus as it is typed."""
    return _MINUS.sub("-", spelling(text).translate(_SELECTORS))


def is_number(label: str) -> bool:
    """Whether a label is a number and nothing else."""
    return _NUMBER.fullmatch(plain_text(label)) is not None


def equal_label(text: str, labels: Sequence[str]) -> str | None:
    """The label that `text` as a whole is, or None.

    Compared by `spelling` first, then without case, then without the quotes and punctuation around it and
    with ``_`` and ``-`` as spaces, last as a number (1.0 is 1).  A sign or a decimal point belongs to its
    number.  A looser reading that fits two labels is not taken.
    """
    for reading, table in zip(_READINGS, _tables(tuple(labels)), strict=True):
        key = reading(text)
        if key and (label := table.get(key)) is not None:
            return label
    return None


def loose(label: str) -> str:
    """What labels have in common that differ only by case, spaces, Unicode form or unseen characters."""
    seen = "".join(one for one in label if unicodedata.category(one) != "Cf" or one == _JOINER)
    return _folded(seen)


def twin(label: str, labels: Sequence[str]) -> Iterator[str]:
    """A sentence's end where an earlier one of `labels` looks the same as `label`, which is one of them."""
    for other in labels[: labels.index(label)]:
        if loose(other) == loose(label):
            yield (
                f"has the label {label!r}, which differs from {other!r} only by case, space or Unicode form: "
                "write it the same way if it means the same"
            )
            return


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", plain_text(text)).casefold().split())


def _bare(text: str) -> str:
    folded = _folded(text)
    inner = folded.strip(WRAPPING)
    before = folded[: len(folded) - len(folded.lstrip(WRAPPING))]
    if (inner[:1].isdigit() or inner[:1] == "=") and (sign := _SIGN.search(before)):
        inner = sign[0] + inner
    return _JOINT.sub(" ", inner)


def _number(text: str) -> str:
    bare = _bare(text)
    return str(Decimal(bare).normalize() + 0) if _NUMBER.fullmatch(bare) else ""


_READINGS: tuple[Callable[[str], str], ...] = (spelling, _folded, _bare, _number)


@lru_cache(maxsize=64)
def _tables(labels: tuple[str, ...]) -> tuple[dict[str, str | None], ...]:
    """Per reading: what a label looks like -> the label, or None where two look the same."""
    tables: list[dict[str, str | None]] = []
    for reading in _READINGS:
        table: dict[str, str | None] = {}
        for label in labels:
            key = reading(label)
            table[key] = label if table.get(key, label) == label else None
        tables.append(table)
    return tuple(tables)
