"""New rows, read again and again from their beginning: a file of any kind, or one text a line.

Rows come one after the other; what cannot be read comes as a `RowError` in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rung.data.new_rows import Asker
from rung.data.opening import unreadable
from rung.data.reading import RowFile
from rung.data.streaming import lines_of, open_stream
from rung.data.strict_json import Row, RowError
from rung.errors import DataError
from rung.plain import require_plain
from rung.storage import sha256_file

LINES = (".txt", ".text")  # names of files with one text a line
Read = Row | RowError


@dataclass(frozen=True, slots=True)
class Source:
    """A file of new rows."""

    path: Path
    asker: Asker
    columns: tuple[str, ...]
    count: int  # of rows, the unreadable ones too
    kind: str  # as `RowFile.kind`, or "lines"
    sha256: str
    kinds: dict[str, set[type[Any]]]  # column -> types of its values, but for None
    schema: Any = None  # pyarrow's, where the file has one

    def rows(self) -> Iterator[Read]:
        """All rows from the first one on."""
        return _values(self.path, self.asker)[1]


def source_of(path: Path, asker: Asker) -> Source:
    """Look through the file once. Raises `DataError` where it has no rows or lacks columns of the prompt."""
    try:
        require_plain(path)
        opened, rows = _values(path, asker)
        sha256 = sha256_file(path)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    columns: dict[str, None] = dict.fromkeys(opened.columns if opened else asker.row_of(""))
    kinds: dict[str, set[type[Any]]] = {}
    count, first = 0, None
    for row in rows:
        count += 1
        if isinstance(row, RowError):
            first = first or row
            continue
        for name, value in row.items():
            columns[name] = None
            if value is not None:
                kinds.setdefault(name, set()).add(str if _is_huge(value) else type(value))
    if not count:
        raise DataError("holds no rows", where=str(path), fix="Put one row in it at least")
    if not columns and first is not None:
        raise DataError(f"no row can be read: the first one {first}", where=str(path), fix=first.fix)
    asker.require(list(columns), str(path))
    kind = opened.kind if opened else "lines"
    schema = opened.schema if opened else None
    return Source(path, asker, tuple(columns), count, kind, sha256, kinds, schema)


def _is_huge(value: object) -> bool:
    """Whether a whole number has more than 64 bits, so that it is kept as text in Parquet."""
    return isinstance(value, int) and not -(1 << 63) <= value < 1 << 63


def texts(lines: Iterable[str], asker: Asker) -> Iterator[Read]:
    """One row for each line. Raises `DataError` where a prompt has several columns."""
    asker.row_of("")
    return (asker.row_of(line.rstrip("\r\n")) for line in lines)


def _values(path: Path, asker: Asker) -> tuple[RowFile | None, Iterator[Read]]:
    """The opened file, None for lines of text; and its rows."""
    if path.suffix.lower() in LINES:
        return None, _lines(path, asker)
    # a table has names in its first line where the file of the climb had
    opened = open_stream(path, asker.is_name, asker.reading.header)
    return opened, (row for _, row in opened.rows)


def _lines(path: Path, asker: Asker) -> Iterator[Read]:
    yield from texts(lines_of(path, errors="replace"), asker)
