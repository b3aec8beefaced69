"""Large files row by row: Parquet, lines of JSON and plain tables, of which little is in memory at a time.

What the rows are is decided on the first `HEAD` bytes. A file that small is read as `open_rows` reads it, and
so is one whose kind only shows as a whole: a workbook, a JSON document, what is compressed or not UTF-8.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from pathlib import Path

from rung.data import corpora, json_rows
from rung.data.arrow_rows import parquet_rows
from rung.data.reading import (
    JSON,
    MAX_ROWS,
    TABLES,
    IsName,
    RowFile,
    limited,
    objects,
    open_rows,
    without_comments,
)
from rung.data.refusals import is_yaml, refuse_text
from rung.data.strict_json import MAX_LINE, RowError
from rung.data.tables import NotATable, Table, read_table
from rung.plain import open_plain

HEAD = 1 << 20
_BLOCK = 1 << 20
_MOST = MAX_LINE + 2  # characters of a line
_TRIES = 50  # lines that are left out at the end of the head so that it ends with a whole record


def open_stream(path: Path, is_name: IsName, header: bool | None = None) -> RowFile:
    """The rows of the file at `path`; see `open_rows`. Its sha256 is empty where it is not read whole."""
    return _streamed(path, is_name, header) or open_rows(path, is_name, header)


def _streamed(path: Path, is_name: IsName, header: bool | None) -> RowFile | None:
    """The rows where they can be read one by one, else None."""
    try:
        if not path.is_file() or path.stat().st_size <= HEAD:
            return None
        with open_plain(path) as file:
            head = file.read(HEAD)
        if head.startswith(b"PAR1"):
            found = parquet_rows(path, None, MAX_ROWS)
            return RowFile(path.name, str(path), "", "parquet", **found)
        if b"\0" in head or not _is_utf8(path):
            return None
    except OSError:
        return None
    text = head[: head.rfind(b"\n") + 1].decode().removeprefix("\ufeff")
    refuse_text(path, text)
    start = without_comments(text)
    if JSON.match(start):
        if not start.startswith("{") or json_rows.shape_of(start) != "lines":
            return None
        rows = objects(json_rows.line_values(lines_of(path, None), []))
        return RowFile(path.name, str(path), "", "jsonl", limited(rows, path))
    if is_yaml(text) or corpora.is_rasa(text) or corpora.is_conll(text) or corpora.is_fasttext(text):
        return None
    table = _table(path, text, is_name, header)
    if table is None or table.stream is None:
        return None
    rows = limited(table.stream(lines_of(path, "")), path)
    return RowFile(path.name, str(path), "", "csv", rows, table.columns, table.notes, header=table.header)


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with open_plain(path) as file:
            while block := file.read(_BLOCK):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def lines_of(path: Path, newline: str | None = None, errors: str = "strict") -> Iterator[str]:
    """The lines of a text, one by one; of a line too long for a row only its beginning.

    Raises `OSError` where the file cannot be opened.
    """
    with io.TextIOWrapper(open_plain(path), "utf-8-sig", errors, newline) as file:
        while line := file.readline(_MOST):
            yield line
            while not line.endswith(("\n", "\r")) and (line := file.readline(_MOST)):
                pass


def _table(path: Path, text: str, is_name: IsName, header: bool | None) -> Table | None:
    """The table that begins with `text`, cut where a record ends."""
    suffix = path.suffix.lower()
    end = len(text)
    for _ in range(_TRIES):
        try:
            table = read_table(text[:end], is_name, header, suffix in TABLES)
        except (NotATable, RowError):
            return None
        if table.fault is None:
            return table
        end = text.rfind("\n", 0, end - 1) + 1
        if not end:
            return None
    return None
