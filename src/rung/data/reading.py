"""Files -> rows: reads JSONL, JSON arrays, CSV and Parquet strictly and once, hashing what it reads.

Nothing is guessed or repaired: a line that is not valid is named with its number, and all such
lines are gathered so that one message tells the user everything.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import stat
from collections.abc import Collection, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Literal, NoReturn

from rung.data.strict_json import MAX_LINE, Row, RowError, array_items, as_object, decode_line, show
from rung.errors import DataError

MAX_ARRAY = 1 << 30  # bytes of a JSON array, which is read as a whole
MAX_COLUMNS = 1000
SHOWN = 5  # bad rows that are named; the rest is counted

Kind = Literal["jsonl", "json", "csv", "parquet"]

_BOM = b"\xef\xbb\xbf"
_MAGIC = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive or an office document"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ", "compressed with xz"),
    (b"GGUF", "a model in GGUF format"),
    (b"SQLite format 3", "an SQLite database"),
    *((bytes((0x80, protocol)), "a pickle, which rung never opens") for protocol in range(2, 6)),
)


class Problems:
    """The rows of one file that cannot be used: the first few by number, the rest as a count."""

    def __init__(self, path: Path, unit: str) -> None:
        self._path = path
        self._unit = unit
        self._shown: list[str] = []
        self._fix = ""
        self._count = 0

    def add(self, row: int, error: RowError) -> None:
        """Note that `row` cannot be used."""
        self._count += 1
        self._fix = self._fix or error.fix
        if self._count <= SHOWN:
            self._shown.append(f"{self._unit} {row} {error}")

    def raise_any(self) -> None:
        """Raises `DataError` with all that was noted, if anything was."""
        if not self._count:
            return
        rest = self._count - len(self._shown)
        what = "; ".join(self._shown) + (f"; and {rest} more" if rest else "")
        raise DataError(what, where=str(self._path), fix=self._fix)


class RowFile:
    """One file of rows; iterating gives (number, row) and reads the file once, in little memory.

    `number` is the 1-based line of a JSONL file and the 1-based record of any other. `known` are the
    key names worth reading: they help to find a CSV's delimiter and choose a Parquet file's columns.
    `columns` names a table's columns once iteration has begun and is empty for JSON. `sha256` is that
    of the bytes that were read; take it after the last row. Bad rows go to `problems`, or raise
    `DataError` at once where reading cannot go on.
    """

    def __init__(self, path: Path, known: Collection[str] = ()) -> None:
        self.path = path
        self.columns: tuple[str, ...] = ()
        self._known = frozenset(known)
        self._digest = hashlib.sha256()
        self.kind: Kind = _kind(path, _head(path))
        self.unit = "line" if self.kind == "jsonl" else "row"  # what `number` counts
        self.problems = Problems(path, self.unit)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        readers = {"jsonl": self._jsonl, "json": self._array, "csv": self._csv, "parquet": self._parquet}
        try:
            with self.path.open("rb") as stream:
                yield from readers[self.kind](stream)
        except OSError as error:
            raise _unreadable(self.path, error) from error

    def fail(self, what: str, why: str = "", fix: str = "") -> NoReturn:
        """Raises `DataError` about the whole file, after any bad rows met before."""
        self.problems.raise_any()
        raise DataError(what, where=str(self.path), why=why, fix=fix)

    def _lines(self, stream: BinaryIO) -> Iterator[tuple[int, str | RowError]]:
        """Decoded lines with their ends, or the reason why a line is not text."""
        number = 0
        while chunk := stream.readline(MAX_LINE + 2):
            number += 1
            self._digest.update(chunk)
            line = chunk
            while not chunk.endswith(b"\n") and (chunk := stream.readline(MAX_LINE)):
                self._digest.update(chunk)
            if number == 1:
                line = line.removeprefix(_BOM)
            if len(line.rstrip(b"\r\n")) > MAX_LINE:
                yield number, RowError(f"is longer than {MAX_LINE:,} bytes", "Shorten it or leave it out")
                continue
            try:
                yield number, line.decode("utf-8")
            except UnicodeDecodeError as error:
                what = f"is not UTF-8 (byte 0x{line[error.start]:02x} at position {error.start + 1})"
                yield number, RowError(what, "Save the file as UTF-8")

    def _jsonl(self, stream: BinaryIO) -> Iterator[tuple[int, Row]]:
        for number, line in self._lines(stream):
            try:
                if isinstance(line, RowError):
                    raise line
                if line and not line.isspace():
                    yield number, as_object(decode_line(line.strip()))
            except RowError as error:
                self.problems.add(number, error)

    def _array(self, stream: BinaryIO) -> Iterator[tuple[int, Row]]:
        content = stream.read(MAX_ARRAY + 1)
        self._digest.update(content)
        if len(content) > MAX_ARRAY:
            self.fail("is a JSON array of more than 1 GiB", fix="Write one object per line instead (JSONL)")
        try:
            text = content.removeprefix(_BOM).decode("utf-8")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            what = f"line {line} is not UTF-8 (byte 0x{content[error.start]:02x})"
            self.fail(what, fix="Save the file as UTF-8")
        number = 0
        try:
            for number, item in array_items(text):
                try:
                    yield number, as_object(item)
                except RowError as error:
                    self.problems.add(number, error)
        except json.JSONDecodeError as error:
            what = f"line {error.lineno} is not valid JSON ({error.msg}, column {error.colno})"
            self.fail(what, why=f"It stands after row {number} of the array" if number else "")
        except RowError as error:
            self.problems.add(number + 1, error)

    def _csv(self, stream: BinaryIO) -> Iterator[tuple[int, Row]]:
        lines = self._text(stream)
        blank, first = next(((n, line) for n, line in enumerate(lines) if not line.isspace()), (0, ""))
        csv.field_size_limit(MAX_LINE)
        reader = csv.reader(chain([first], lines), delimiter=self._delimiter(first), strict=True)
        number = 0
        try:
            self._header(next(reader, []))
            for cells in reader:
                if not cells:
                    continue
                number += 1
                if len(cells) == len(self.columns) and not any("\0" in cell for cell in cells):
                    yield number, dict(zip(self.columns, cells, strict=True))
                else:
                    self.problems.add(number, self._ragged(cells, blank + reader.line_num))
        except csv.Error as error:
            fix = "Put double quotes around a text that contains quotes, and double the quotes inside it"
            line = blank + reader.line_num
            self.fail(f"row {number + 1} is not valid CSV ({error}, line {line})", fix=fix)

    def _text(self, stream: BinaryIO) -> Iterator[str]:
        for number, line in self._lines(stream):
            if isinstance(line, RowError):
                self.fail(f"line {number} {line}", fix=line.fix)
            yield line

    def _delimiter(self, header: str) -> str:
        """Of comma, semicolon and tab the one that gives the most known columns, then the most columns."""

        def merit(mark: str) -> tuple[int, int]:
            cells = [cell.strip().strip('"') for cell in header.split(mark)]
            return sum(cell in self._known for cell in cells), len(cells)

        return max(",;\t", key=merit)

    def _header(self, cells: list[str]) -> None:
        self.columns = tuple(cell.strip() for cell in cells)
        twice = [name for name in self.columns if self.columns.count(name) > 1]
        if len(self.columns) > MAX_COLUMNS:
            self.fail(f"has {len(self.columns):,} columns; {MAX_COLUMNS:,} is the most")
        if twice:
            self.fail(f"has two columns named {show(twice[0])}", fix="Give every column its own name")

    def _ragged(self, cells: list[str], line: int) -> RowError:
        if len(cells) == len(self.columns):
            return RowError(f"(line {line}) holds a NUL character", "Remove it")
        what = f"(line {line}) has {len(cells)} cells where the header has {len(self.columns)}"
        return RowError(what, "Put double quotes around a text that contains the delimiter")

    def _parquet(self, stream: BinaryIO) -> Iterator[tuple[int, Row]]:
        import pyarrow
        import pyarrow.parquet

        while chunk := stream.read(1 << 20):
            self._digest.update(chunk)
        stream.seek(0)
        number = 0
        try:
            table = pyarrow.parquet.ParquetFile(stream)
            self._header([field.name for field in table.schema_arrow])
            wanted = [name for name in self.columns if name in self._known] or list(self.columns)
            for batch in table.iter_batches(batch_size=1024, columns=wanted):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
        except (pyarrow.ArrowException, UnicodeDecodeError, OSError, ValueError) as error:
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            self.fail(f"cannot be read as Parquet after row {number} ({reason})", fix="Write the file again")


def _head(path: Path) -> bytes:
    """The first 64 KiB, once it is certain that `path` is a plain file that can be opened."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise DataError("is a folder, not a file", where=str(path), fix="Name one file of rows in it")
        if not stat.S_ISREG(status.st_mode):
            what = "is a pipe or a device, not a file"
            raise DataError(what, where=str(path), fix="Write the rows to a file first")
        with path.open("rb") as stream:
            return stream.read(1 << 16)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError | ValueError) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError("no such file", where=str(path), fix="Check the path")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DataError(f"cannot be read ({reason})", where=str(path), fix="Check the path and its permissions")


def _kind(path: Path, head: bytes) -> Kind:
    """What the file holds, told by its content first and its name second."""
    if head.startswith(b"PAR1"):
        return "parquet"
    _refuse_binary(path, head)
    start = head.removeprefix(_BOM).lstrip()
    suffix = path.suffix.lower()
    if not start and len(head) < 1 << 16:
        what = "is empty" if not head else "holds only blank lines"
        raise DataError(what, where=str(path), fix="Put one example per line in it")
    if suffix == ".parquet":
        raise DataError("is not a Parquet file, though its name says so", where=str(path))
    if start.startswith(b"["):
        return "json"
    return "jsonl" if start.startswith(b"{") or suffix in (".jsonl", ".ndjson", ".json") else "csv"


def _refuse_binary(path: Path, head: bytes) -> None:
    what = next((name for magic, name in _MAGIC if head.startswith(magic)), "")
    fix = "Give rows as JSONL, JSON, CSV or Parquet"
    nul = [head[0::2].count(0), head[1::2].count(0)]
    every_other = sum(nul) > len(head) // 4 and min(nul) < max(nul) // 4
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or (every_other and not what):
        what, fix = "UTF-16 text", "Save the file as UTF-8"
    elif not what and 0 in head:
        what = "a binary file (it holds NUL bytes)"
    if what:
        raise DataError(f"is {what}", where=str(path), fix=fix)
