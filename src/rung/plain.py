"""Plain files, and no others: a pipe waits for a writer, and a device may never end.

`read_json`, `read_object` and `read_jsonl` read the files that rung keeps, which may have been damaged since.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader, BufferedWriter
from pathlib import Path
from typing import Any, Literal

from rung.errors import ResumeError
from rung.strict import strict_decoder

_MOST = 1 << 31  # bytes of a file of a run
_AGAIN = "Delete the file and run the same command again"
_DECODER = strict_decoder(lambda what, fix: ValueError(f"it {what}"))


class NotPlain(OSError):
    """A pipe, a device or a socket in the place of a file."""


class TooLarge(OSError):
    """A file with more bytes than its reader takes."""


def require_plain(path: Path) -> None:
    """Raises `NotPlain`, `IsADirectoryError` or another `OSError` where `path` is no plain file."""
    _check(os.stat(path).st_mode, path)


def open_plain(path: Path) -> BufferedReader:
    """A plain file, open for reading.

    Raises `OSError`, and `NotPlain` without waiting where something else is there. The file is looked at
    once more after it is open, so that it cannot be exchanged in between.
    """
    require_plain(path)
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115  the caller closes it
    _check_open(file, path)
    return file


def write_plain(path: Path, mode: Literal["ab", "wb"]) -> BufferedWriter:
    """A plain file, open for writing at its end or from its beginning; made where there is none.

    Raises as `open_plain` does.
    """
    if os.path.lexists(path):
        require_plain(path)
    file = open(path, mode, opener=_without_waiting)  # noqa: SIM115  the caller closes it
    _check_open(file, path)
    return file


def read_plain(path: Path, most: int) -> bytes:
    """All of a plain file. Raises `OSError`, and `TooLarge` past `most` bytes, of which no more are read."""
    with open_plain(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise TooLarge(errno.EFBIG, f"larger than the {most:,} bytes that are read", str(path))
    return content


def read_json(path: Path) -> Any:
    """The JSON value in a file. Raises `ResumeError` where it is not one."""
    try:
        return _DECODER.decode(_read(path).decode())
    except (ValueError, RecursionError) as error:
        raise ResumeError(f"not a JSON file: {error}", where=path.name, fix=_AGAIN) from error


def read_object(path: Path, **keys: type) -> dict[str, Any]:
    """The JSON object in a file, with values of these types under these `keys`. Raises `ResumeError`."""
    value = read_json(path)
    found = value if isinstance(value, dict) else {}
    for key, kind in keys.items():
        if not isinstance(found.get(key), kind):
            raise ResumeError(
                f"the file has no {key!r} of the kind that rung writes", where=path.name, fix=_AGAIN
            )
    return found


def read_jsonl(path: Path) -> list[Any]:
    """The JSON values of a file with one on each line. Raises `ResumeError` where a line is not one."""
    values = []
    for number, line in enumerate(_read(path).split(b"\n"), 1):
        try:
            values += [_DECODER.decode(line.decode())] if line.strip() else []
        except (ValueError, RecursionError) as error:
            raise ResumeError(f"line {number} is not JSON: {error}", where=path.name, fix=_AGAIN) from error
    return values


def _read(path: Path) -> bytes:
    """All of a file of a run. Raises `ResumeError`."""
    try:
        return read_plain(path, _MOST)
    except OSError as error:
        raise ResumeError(f"cannot be read: {error.strerror}", where=path.name, fix=_AGAIN) from error


def _check_open(file: BufferedReader | BufferedWriter, path: Path) -> None:
    try:
        _check(os.fstat(file.fileno()).st_mode, path)
    except OSError:
        file.close()
        raise


def _check(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise NotPlain(errno.EINVAL, "a pipe or a device, not a file", str(path))


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
