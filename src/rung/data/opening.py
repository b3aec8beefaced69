"""Path -> bytes -> text: opens plain files only, unpacks compressed ones, reads any common encoding.

The content of a file decides, never its name. Nothing here knows what a row is.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from rung.data.strict_json import show
from rung.errors import DataError
from rung.plain import NotPlain, open_plain

MAX_BYTES = 1 << 30  # of a file, and of what is unpacked from it
_BLOCK = 1 << 20
_ENCODINGS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_OTHERS = ("cp1250", "gb18030", "shift_jis", "euc_kr", "big5", "cp1251")
_HIGH = re.compile(rb"[\x80-\xff]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x19\x1b]")  # no text in any encoding that is read here
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


@dataclass(frozen=True, slots=True)
class Opened:
    """The content of one file."""

    content: bytes  # unpacked
    sha256: str  # of the bytes on disk
    packed: str = ""  # "gzip", ... or "" for a file that was not compressed
    notes: list[str] = field(default_factory=list)


def open_file(path: Path) -> Opened:
    """All bytes of a plain file, unpacked where it is compressed (gzip, bzip2, xz, zstd).

    Raises `DataError` for a missing or unreadable file, a folder, a pipe or device, a damaged archive,
    and for more than `MAX_BYTES`.
    """
    try:
        with open_plain(path) as stream:
            content = _read(stream, path)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    sha256 = hashlib.sha256(content).hexdigest()
    for magic, name, unpack in _PACKED:
        if content.startswith(magic):
            return Opened(_unpacked(content, path, name, unpack), sha256, name)
    return Opened(content, sha256)


def require_file(path: Path) -> None:
    """Raises `DataError` where `open_file` could not read the first byte; nothing is kept of the file."""
    try:
        with open_plain(path) as stream:
            stream.read(1)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def decode(opened: Opened, path: Path) -> str:
    """The content as text: UTF-8, UTF-16 and UTF-32 by their marks or their zeros, else Windows-1252.

    What was not UTF-8 is said in `opened.notes`. Raises `DataError` where the bytes are no text in any of
    these.
    """
    content = opened.content
    mark = next((name for start, name in _ENCODINGS if content.startswith(start)), "") or _unmarked_utf16(
        content
    )
    try:
        text = content.decode(mark or "utf-8")
    except UnicodeDecodeError as error:
        if mark and mark != "utf-8-sig":
            raise DataError(f"begins as {mark.upper()} text but is damaged", where=str(path)) from error
        return _windows(opened, path, error)
    if mark and mark != "utf-8-sig":
        opened.notes.append(f"read as {mark.upper()} text")
    return text.removeprefix("\ufeff")


def unreadable(path: Path, error: OSError | ValueError) -> DataError:
    """Why a data file cannot be opened."""
    if isinstance(error, FileNotFoundError):
        return DataError("no such file", where=str(path), fix="Check the path")
    if isinstance(error, NotPlain):
        what = "is a pipe or a device, not a file"
        return DataError(what, where=str(path), fix="Write the rows to a file first")
    if isinstance(error, IsADirectoryError):
        return DataError(
            "is a folder, not a file", where=str(path), why=_inside(path), fix="Name one file of rows in it"
        )
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DataError(f"cannot be read ({reason})", where=str(path), fix="Check the path and its permissions")


def _inside(folder: Path) -> str:
    try:
        files = sorted(entry.name for entry in folder.iterdir() if entry.is_file())[:5]
    except OSError:
        return ""
    return f"It holds {', '.join(show(name) for name in files)}" if files else ""


def _read(stream: IO[bytes], path: Path) -> bytes:
    """Everything in `stream`. Raises `DataError` past `MAX_BYTES`."""
    blocks, size = [], 0
    while block := stream.read(_BLOCK):
        blocks.append(block)
        size += len(block)
        if size > MAX_BYTES:
            what = f"holds more than {MAX_BYTES >> 30} GiB of rows, the most that is read"
            raise DataError(what, where=str(path), fix="Take a part of the rows")
    return b"".join(blocks)


def _zstd(stream: IO[bytes]) -> IO[bytes]:
    import pyarrow

    unpacked: Any = pyarrow.CompressedInputStream(pyarrow.PythonFile(stream, mode="r"), "zstd")
    return io.BufferedReader(unpacked)


_PACKED: tuple[tuple[bytes, str, Callable[[IO[bytes]], Any]], ...] = (
    (b"\x1f\x8b", "gzip", gzip.open),
    (b"BZh", "bzip2", bz2.open),
    (b"\xfd7zXZ\x00", "xz", lzma.open),
    (b"\x28\xb5\x2f\xfd", "zstd", _zstd),
)


def _unpacked(content: bytes, path: Path, name: str, unpack: Callable[[IO[bytes]], Any]) -> bytes:
    try:
        with unpack(io.BytesIO(content)) as stream:
            return _read(stream, path)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        what = f"is compressed with {name} and cannot be unpacked ({reason})"
        raise DataError(what, where=str(path), fix="Download or compress the file again") from error


def _unmarked_utf16(content: bytes) -> str:
    """Whether every other byte is zero, as in UTF-16 of Latin letters without its mark."""
    head = content[: 1 << 16]
    zeros = [head[0::2].count(0), head[1::2].count(0)]
    if sum(zeros) <= len(head) // 4 or min(zeros) >= max(zeros) // 4:
        return ""
    return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"


def _windows(opened: Opened, path: Path, error: UnicodeDecodeError) -> str:
    """The text as Windows-1252 where that is plausible: single accented letters, not runs of high bytes."""
    content = opened.content
    if _CONTROL.search(content):
        what, fix = "is a binary file (it holds control characters)", "Give rows as text, Parquet or Excel"
        raise DataError(what, where=str(path), fix=fix) from error
    at = f"line {content.count(bytes([10]), 0, error.start) + 1}"
    what = f"{at} is not UTF-8 (byte 0x{content[error.start]:02x})"
    if len(_MULTIBYTE.findall(content)) > 1:
        why = "Most of the file is UTF-8, so this byte is damage"
        fix = f"Repair it, or drop such bytes: iconv -c -f utf-8 -t utf-8 {path.name} > repaired{path.suffix}"
        raise DataError(what, where=str(path), why=why, fix=fix) from error
    runs = [len(run) for run in _HIGH.findall(content)]
    western = sum(run for run in runs if run > 2) <= 0.3 * sum(runs)
    try:
        text = content.decode("cp1252") if western else None
    except UnicodeDecodeError:
        text = None
    if text is None:
        order = _OTHERS if western else (*_OTHERS[1:], _OTHERS[0])
        possible = [name for name in order if _decodes(content, name)]
        why = f"It could be {', '.join(possible[:4])}" if possible else ""
        source = possible[0] if possible else "ENCODING"
        fix = f"Save it as UTF-8: iconv -f {source} -t utf-8 {path.name} > utf8{path.suffix}"
        raise DataError(what, where=str(path), why=why, fix=fix) from error
    spot = next(i for i, character in enumerate(text) if character > "\x7f")
    line = text[text.rfind("\n", 0, spot) + 1 :].split("\n", 1)[0].strip()
    start = max(0, line.find(text[spot]) - 20)
    opened.notes.append(
        f"read as Windows-1252, since it is not UTF-8: {show(line[start : start + 40])}; "
        f"if that looks wrong, save the file as UTF-8"
    )
    return text


def _decodes(content: bytes, name: str) -> bool:
    try:
        content.decode(name)
    except UnicodeDecodeError:
        return False
    return True
