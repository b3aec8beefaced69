"""Where the verbs print: text, JSON and rows on stdout, without what would steer a terminal.

Nothing else in `rung.cli` writes to a standard stream, but the screens of `rung.cli.console`, which clean
what they show in the same way. A terminal obeys escape sequences and turns text around at direction marks,
wherever they come from; so labels, names, messages and answers are shown with these made visible
(`rung.numbers.clean`).
"""

from __future__ import annotations

import io
import json
import re
import sys
from typing import IO, Any

from rung.numbers import UNSEEN, clean

__all__ = ["complain", "print_json", "row_stream", "say"]


def say(text: str, *, err: bool = False) -> None:
    """Print lines of text to stdout, or to stderr."""
    stream = sys.stderr if err else sys.stdout
    stream.write(f"{clean(text)}\n")
    stream.flush()


def complain(message: str) -> None:
    """Print an error as one line on stderr; says nothing where stderr does not take it."""
    try:
        say(re.sub(r"\s*\n\s*", " ", f"rung: {message}"), err=True)
    except (OSError, ValueError):
        return


def print_json(value: Any) -> None:
    """Print one line of JSON to stdout; characters that would steer a terminal are written as escapes."""
    text = json.dumps(value, ensure_ascii=not _is_unicode(sys.stdout))
    sys.stdout.write(UNSEEN.sub(lambda found: json.dumps(found.group())[1:-1], text) + "\n")
    sys.stdout.flush()


def row_stream() -> IO[str]:
    """Stdout for rows of data: cleaned on a terminal; UTF-8 elsewhere, unchanged, as in a file."""
    if sys.stdout.isatty():
        return _Cleaned(sys.stdout)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    return sys.stdout


class _Cleaned(io.TextIOBase, IO[str]):
    """Text that is cleaned on its way to a terminal."""

    def __init__(self, terminal: IO[str]) -> None:
        self._terminal = terminal

    def write(self, text: str) -> int:
        self._terminal.write(clean(text))
        return len(text)

    def flush(self) -> None:
        self._terminal.flush()


def _is_unicode(stream: IO[str]) -> bool:
    return (getattr(stream, "encoding", None) or "utf-8").lower().replace("_", "-").startswith("utf")
