"""Plain files, and no others: a pipe waits for a writer, and a device may never end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


class NotPlain(OSError):
    """A pipe, a device or a socket in the place of a file."""


class TooLarge(OSError):
    """A file with more bytes than its reader takes."""


def require_plain(path: Path) -> None:
    """Raises `NotPlain`, `IsADirectoryError` or another `OSError` where `path` is no plain file."""
    _check(os.stat(path).st_mode, path)


def open_plain(path: Path) -> BinaryIO:
    """A plain file, open for reading.

    Raises `OSError`, and `NotPlain` without waiting where something else is there. The file is looked at
    once more after it is open, so that it cannot be exchanged in between.
    """
    require_plain(path)
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115  the caller closes it
    try:
        _check(os.fstat(file.fileno()).st_mode, path)
    except OSError:
        file.close()
        raise
    return file


def read_plain(path: Path, most: int) -> bytes:
    """All of a plain file. Raises `OSError`, and `TooLarge` past `most` bytes, of which no more are read."""
    with open_plain(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise TooLarge(errno.EFBIG, f"larger than the {most:,} bytes that are read", str(path))
    return content


def _check(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise NotPlain(errno.EINVAL, "a pipe or a device, not a file", str(path))


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
