"""Answers on disk while a file is being answered: what a stopped `rung predict` continues from.

A line is the CRC-32 of its JSON in 8 hex digits, a space, and the JSON. The first line says whose the answers
are; then each row has one. The sha256 of the output becomes the last line before the output takes its name.
"""

from __future__ import annotations

import json
import os
import zlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rung import storage
from rung.errors import ResumeError
from rung.ladder.predictor import Prediction
from rung.plain import open_plain

_END = "output sha256"


class Journal:
    """The unfinished answers of one command; `path` is its file."""

    def __init__(self, path: Path, mark: Mapping[str, Any]) -> None:
        """`mark` says whose the answers are: the rows, the rung and the settings."""
        self.path = path
        self._mark = dict(mark)

    def begin(self) -> int:
        """Start the file, or cut off what a stop left half written; how many answers are left.

        Raises `ResumeError` where the file is damaged, cannot be read or belongs to another command.
        """
        storage.sweep(self.path)
        if os.path.lexists(self.path):
            try:
                with open_plain(self.path) as file:
                    first = file.readline()
                    if first.endswith(b"\n"):
                        self._check(self._value(first, 1))
                        end, count = file.tell(), 0
                        for line in file:
                            if not line.endswith(b"\n") or isinstance(self._value(line, count + 2), dict):
                                break
                            end, count = end + len(line), count + 1
                        storage.truncate(self.path, end)
                        return count
            except OSError as error:
                fix = "Delete it, or give another --output"
                what = f"cannot be read: {error.strerror}"
                raise ResumeError(what, where=str(self.path), fix=fix) from error
        storage.write_file(self.path, _as_line(self._mark))
        return 0

    def append(self, answers: Sequence[Prediction]) -> None:
        """Add answers; they are on disk when this returns."""
        lines = "".join(_as_line([a.text, a.probabilities, a.error]) for a in answers)
        storage.append(self.path, lines.encode(), sync=True)

    def end(self, output: Path) -> None:
        """Note what the output with all answers is."""
        storage.append(self.path, _as_line({_END: storage.sha256_file(output)}).encode(), sync=True)

    def answers(self) -> Iterator[Prediction]:
        """All answers, in their order. Raises `ResumeError` where a line was changed."""
        with open_plain(self.path) as file:
            next(file)
            for number, line in enumerate(file, 2):
                value = self._value(line, number)
                if not isinstance(value, dict):
                    yield Prediction(*value)

    def wrote(self, output: Path) -> bool:
        """Whether all answers are in `output`."""
        try:
            with open_plain(self.path) as file:
                first, last = file.readline(), next(iter(deque(file, maxlen=1)), b"")
        except OSError:
            return False
        expected = _as_line(self._mark), _as_line({_END: storage.sha256_file(output)})
        return (first, last) == tuple(line.encode() for line in expected)

    def damaged(self, line: int, what: str) -> ResumeError:
        """The error for a file that this module did not write."""
        return ResumeError(
            f"line {line} {what}",
            where=str(self.path),
            why="The unfinished answers are damaged",
            fix="Delete the file to begin again",
        )

    def _value(self, line: bytes, number: int) -> Any:
        """What `_as_line` wrote. Raises `ResumeError` where the line was changed since."""
        checksum, text = line[:8], line[9:].rstrip(b"\n")
        if checksum != _checksum(text):
            raise self.damaged(number, "was changed after it was written")
        return json.loads(text)

    def _check(self, before: Mapping[str, Any]) -> None:
        """Raises `ResumeError` where the answers are those of another command."""
        if before == self._mark:
            return
        other = [name for name, value in self._mark.items() if before.get(name) != value]
        raise ResumeError(
            "the unfinished answers are those of another command",
            where=str(self.path),
            why=f"Different now: {', '.join(other)}",
            fix="Delete the file to begin again, or give another --output",
        )


def _as_line(value: Any) -> str:
    text = json.dumps(value)
    return f"{_checksum(text.encode()).decode()} {text}\n"


def _checksum(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)
