"""The errors a user can meet, each one paragraph: what, where, why, what to do.

    RungError            1  a bug, or an error of no other kind
    ├── UsageError       2  a command line or a setting that cannot be used
    ├── DataError        3  a file of examples that cannot be used
    │   └── TurnsError   3  turns that the base's chat template cannot write
    ├── BaseModelError   4  a base that cannot be loaded
    │   └── AdapterError 4  an adapter that cannot be loaded
    ├── VerifyError      5  something that was written does not answer as it should
    ├── ResourceError    6  not enough disk, memory or time
    └── ResumeError      7  a run that cannot continue as asked

The number is the process's exit code.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_WORD = 260  # characters of a message without a space; a path is not often longer
MOST_TEXT = 800  # characters of what, why and fix each


class RungError(Exception):
    """Base of all user-facing errors; ``str(error)`` is one paragraph for the screen."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", why: str = "", fix: str = "") -> None:
        self.what = what
        self.where = where
        self.why = why
        self.fix = fix
        super().__init__(what)

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return " ".join(_sentence(_cut(part)) for part in (head, self.why, self.fix) if part)


class UsageError(RungError):
    exit_code = 2


class DataError(RungError):
    exit_code = 3


class TurnsError(DataError):
    """Turns that the base's chat template refuses, drops or changes; `row` is 0 where it is not known."""

    def __init__(self, reason: str, *, row: int = 0, where: str = "", fix: str = "") -> None:
        super().__init__(f"row {row}: {reason}" if row else reason, where=where, fix=fix)
        self.reason = reason
        self.row = row


class BaseModelError(RungError):
    exit_code = 4


class AdapterError(BaseModelError):
    exit_code = 4


class VerifyError(RungError):
    exit_code = 5


class ResourceError(RungError):
    exit_code = 6


class ResumeError(RungError):
    exit_code = 7


def cut(text: str, most: int) -> str:
    """Foreign `text` in at most `most` characters: the middle of a longer one is left out."""
    if len(text) <= most:
        return text
    tail = (most - 1) // 3
    return f"{text[: most - 1 - tail]}\u2026{text[len(text) - tail :]}"


def _sentence(text: str) -> str:
    """`text` on one line, with a mark at its end."""
    text = " ".join(line.strip() for line in text.splitlines() if line.strip())
    return text if text.endswith((".", "!", "?", ":")) else text + "."


def _cut(text: str) -> str:
    """`text` with the middle left out of words, and of itself, where a name makes them too long to read."""
    words = [cut(word, MOST_WORD) for word in text.split(" ")] if len(text) > MOST_WORD else [text]
    return cut(" ".join(words), MOST_TEXT)


def nearest(word: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the known word closest to `word`, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
