"""Labels and JSON objects in the text of a completion, or None: unparsed.

Reading is generous about the wrapping (prefixes, quotes, code fences) and strict about the content:
an answer that can be read two ways is not an answer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from rung.evaluation.labels import WRAPPING, equal_label, plain_text
from rung.strict import strict_decoder

_TAIL = re.compile(r"^[\w\s'*-]{0,60}?(?:[:：=]|\bis\b)\s*(\S.*)$", re.IGNORECASE)
# One character counts in front of an answer behind opening marks, and with a closing mark or a dash after it.
_LEADING = re.compile(
    r"[\s(\[{\"'`“‘«*_（【「『]*(\S)(?=[)\]}:：*_`\"”»）】」』]|['’](?!\w)|[.。](?!\d)|\s+[-–—]\s)"
)
_NEGATED = re.compile(
    r"(?:(?:\bnot|n['’]t|\bnever|\bpas|\bnicht|\bkein\w*|\bnão|\bне)(?:\s+\w+)?\s*"
    r"|[不没沒非无無未]|(?:不是|不算|不属于|不屬於|并非|並非|没有|沒有|ไม่ใช่|ไม่ได้)[^\W_]{0,3}|ไม่)[\"'“「*]*$",
    re.IGNORECASE,
)
_DENIED = re.compile(r"[\"'”」*]*(?:では|じゃ|とは)\w{0,4}(?:ない|ません|なかった)")
_UNSPACED = (  # letters of scripts that put no spaces between words
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U000323af"
)
_LETTER = rf"[^\W{_UNSPACED}]"
_KATAKANA = "[ァ-ヺー]"
_BRACKET, _LIST = re.compile(r"[\[{]"), re.compile(r"\[\s*\{")


# --- labels -----------------------------------------------------------------------------------------


def read_label(text: str, labels: Sequence[str]) -> str | None:
    """The label that `text` gives, as written in `labels`, or None.

    In turn: the whole text is a label (see `equal_label`); its first line is; its first line ends in one
    after a ``:``, ``=`` or "is" ("The sentiment is positive."); it names one label and no other, not behind a
    "not".  A label counts as named where it is a whole word; scripts without spaces have none, so there it
    counts anywhere.  Labels of one character ("A", "1") are too common in prose to be looked for there: they
    count alone, after the prefix, or in front as in "B) Paris"; an emoji counts anywhere.
    """
    names = tuple(labels)
    first = next((line for line in text.splitlines() if line.strip(WRAPPING)), "")
    for part in (text, first, after_colon(first)):
        label = equal_label(part, names) or _leading_label(part, names)
        if label is not None:
            return label
    return _mentioned_label(plain_text(text), names)


def after_colon(line: str) -> str:
    """What stands in a line behind a few words and a ``:``, ``=`` or "is"; else ""."""
    tail = _TAIL.match(line.strip())
    return tail[1] if tail else ""


def mentioned_labels(text: str, labels: Sequence[str]) -> list[str]:
    """All labels that `text` names as whole words and not behind a "not", each once, in its order."""
    names, plain = tuple(labels), plain_text(text)
    pattern = _mention(names)
    found = (
        equal_label(mention[0], names)
        for mention in (pattern.finditer(plain) if pattern else ())
        if not _is_denied(plain, mention)
    )
    return list(dict.fromkeys(label for label in found if label is not None))


def _leading_label(text: str, labels: tuple[str, ...]) -> str | None:
    found = _LEADING.match(text)
    return found[1] if found and found[1] in labels else None


@lru_cache(maxsize=64)
def _mention(labels: tuple[str, ...]) -> re.Pattern[str] | None:
    """Finds labels as whole words, the longer of two that overlap ("not spam", not "spam")."""
    names = sorted(filter(_can_be_looked_for, map(plain_text, labels)), key=len, reverse=True)
    if not names:
        return None
    either = "|".join(map(_as_pattern, names))
    before = rf"(?<!{_LETTER})(?<![-\u200d])(?<!\d[.,])"
    after = rf"(?!{_LETTER}|[+#\u200d]|-\w|[.,]\d)"
    return re.compile(rf"{before}(?:{either}){after}", re.IGNORECASE)


def _can_be_looked_for(label: str) -> bool:
    return len(label) > 1 or unicodedata.category(label or " ") == "So"


def _as_pattern(label: str) -> str:
    """A sign or a point before a number belongs to it, and katakana write whole words."""
    before = "(?<![-+<>≤≥.,])" if label[0].isdigit() else ""
    if re.match(_KATAKANA, label[0]):
        before = f"(?<!{_KATAKANA})"
    after = f"(?!{_KATAKANA})" if re.match(_KATAKANA, label[-1]) else ""
    return before + re.escape(label) + after


def _mentioned_label(text: str, labels: tuple[str, ...]) -> str | None:
    pattern = _mention(labels)
    if pattern is None:
        return None
    found = set()
    for mention in pattern.finditer(text):
        label = equal_label(mention[0], labels)
        if label is None or _is_denied(text, mention):
            return None
        found.add(label)
    return found.pop() if len(found) == 1 else None


def _is_denied(text: str, mention: re.Match[str]) -> bool:
    """Whether a "not" stands in front of a mention, or its like behind it."""
    before = text[max(0, mention.start() - 40) : mention.start()]
    return bool(_NEGATED.search(before) or _DENIED.match(text, mention.end()))


# --- JSON objects -----------------------------------------------------------------------------------


def read_object(text: str) -> dict[str, Any] | None:
    """The first balanced JSON object in `text`, or None.

    Prose and code fences around it are passed over.  A key given twice, NaN and Infinity, a list
    instead of an object, and an object without its end are refused: None.
    """
    value = read_json(text)
    return value if isinstance(value, dict) else None


def read_json(text: str) -> dict[str, Any] | list[dict[str, Any]] | None:
    """As `read_object`, but a list of objects is read too."""
    place = _opening(text, 0)
    while place >= 0:
        try:
            value, _ = _DECODER.raw_decode(text, place)
        except _Refused:
            return None
        except (ValueError, RecursionError):
            if text[place] == "{":
                end = _end_of(text, place)
            else:  # "[note]" is passed over, but not a list of objects that is cut off
                end = None if _LIST.match(text, place) else place + 1
            if end is None:
                return None
            place = _opening(text, end)
            continue
        if isinstance(value, dict) or all(isinstance(item, dict) for item in value):
            return value  # type: ignore[no-any-return]
        return None
    return None


def _opening(text: str, start: int) -> int:
    """Where the next object or list begins; -1 where none does."""
    found = _BRACKET.search(text, start)
    return found.start() if found else -1


class _Refused(ValueError):
    """Well-formed JSON that cannot be taken at its word."""


_DECODER = strict_decoder(_Refused)


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
