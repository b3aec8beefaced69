"""Files -> rows: the content decides how a file is read; a file without rows is refused as what it is.

Bad rows are collected, so that one message tells the user everything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from rung.data import corpora, json_rows
from rung.data.arrow_rows import arrow_rows, parquet_rows
from rung.data.excel import excel_table
from rung.data.json_rows import Found, NoRows, Numbered, cells_to_row
from rung.data.opening import Opened, decode, open_file
from rung.data.refusals import is_yaml, refuse, refuse_binary, refuse_many, refuse_plain, refuse_text
from rung.data.strict_json import Row, RowError, array_items, as_object, decode_document
from rung.data.tables import NotATable, read_table
from rung.errors import DataError

MAX_ROWS = 3_000_000
SHOWN = 5  # bad rows that are named for each reason
TABLES = (".csv", ".tsv", ".tab", ".psv", ".xls")
REASONS = 5  # reasons that are named; the rest is counted

JSON = re.compile(r"\{|\[\s*(?:[\[{\]\"tfn\d/-]|$)")

IsName = Callable[[str], bool]


class Problems:
    """The rows of one file that cannot be used: equal reasons once, with the first rows by number."""

    def __init__(self, path: str, unit: str) -> None:
        self._path = path
        self._unit = unit
        self._fix = ""
        self._rows: dict[str, list[int]] = {}  # reason -> the first rows it is true of
        self._counts: dict[str, int] = {}

    def add(self, row: int, error: RowError) -> None:
        """Note that `row` cannot be used."""
        self._fix = self._fix or error.fix
        reason = str(error)
        self._counts[reason] = self._counts.get(reason, 0) + 1
        rows = self._rows.setdefault(reason, []) if len(self._rows) < REASONS else self._rows.get(reason)
        if rows is not None and len(rows) < SHOWN:
            rows.append(row)

    def raise_any(self) -> None:
        """Raises `DataError` with all that was noted, if anything was."""
        if not self._counts:
            return
        parts = [f"{numbered(self._unit, rows, self._counts[why])} {why}" for why, rows in self._rows.items()]
        rest = sum(count for why, count in self._counts.items() if why not in self._rows)
        what = "; ".join(parts) + (f"; and {rest} more" if rest else "")
        raise DataError(what, where=self._path, fix=self._fix)


def numbered(unit: str, rows: Sequence[int], count: int) -> str:
    """``line 7``, ``each of lines 1 to 5 and 19 more`` or ``each of rows 1, 3, 8``."""
    if count == 1:
        return f"{unit} {rows[0]}"
    run = list(rows) == list(range(rows[0], rows[0] + len(rows)))
    shown = f"{rows[0]} to {rows[-1]}" if run and len(rows) > 2 else ", ".join(map(str, rows))
    more = f" and {count - len(rows):,} more" if count > len(rows) else ""
    return f"each of {unit}s {shown}{more}"


@dataclass
class RowFile:
    """The rows of one file; iterating gives (number, row) once, bad rows go to `problems`.

    `number` is the 1-based line of a file of JSON lines and the 1-based row of any other.
    """

    name: str
    where: str  # the path, for messages
    sha256: str
    kind: str  # "jsonl", "json", "csv", "parquet", "excel", "arrow", "conll", "rasa", "fasttext", "memory"
    rows: Iterable[tuple[int, Row | RowError]]
    columns: tuple[str, ...] = ()  # in the order of the file; () where only the rows tell
    notes: list[str] = field(default_factory=list)
    class_names: Mapping[str, Sequence[str]] = field(default_factory=dict)  # column -> names of its numbers
    shape: str = ""  # name of a known document: "squad", "intents", ...
    languages: tuple[str, ...] = ()  # columns that hold one language each
    header: bool = True
    schema: Any = None  # pyarrow's, of a Parquet or Arrow file

    def __post_init__(self) -> None:
        self.unit = "line" if self.kind == "jsonl" else "row"
        self.problems = Problems(self.where, self.unit)

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        for number, row in self.rows:
            if isinstance(row, RowError):
                self.problems.add(number, row)
            else:
                yield number, row

    def fail(self, what: str, why: str = "", fix: str = "") -> NoReturn:
        """Raises `DataError` about the whole file, after any bad rows met before."""
        self.problems.raise_any()
        raise DataError(what, where=self.where, why=why, fix=fix)


def open_rows(path: Path, is_name: IsName, header: bool | None = None) -> RowFile:
    """The rows of the file at `path`.

    `is_name` says whether a text is a well-known column name; `header` whether the first line of a table
    names its columns (None: found out). Raises `DataError` where the file holds no rows that rung can read.
    """
    opened = open_file(path)
    content = opened.content
    where, name = str(path), path.name

    def made(kind: str, rows: Iterable[tuple[int, Row | RowError]], **more: Any) -> RowFile:
        return RowFile(name, where, opened.sha256, kind, limited(rows, path), **more)

    if content.startswith(b"PAR1"):
        return made("parquet", **parquet_rows(path, content, MAX_ROWS))
    if content.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return made("arrow", **arrow_rows(path, content, MAX_ROWS))
    refuse_binary(path, content)
    if content.startswith(b"PK\x03\x04"):
        table = excel_table(path, content, is_name, header)
        return made("excel", table.rows, columns=table.columns, notes=table.notes, header=table.header)
    text = _text(opened, path)
    notes = opened.notes
    refuse_text(path, text)
    if path.suffix.lower() == ".parquet":
        refuse(path, "is not a Parquet file, though its name says so")
    start = without_comments(text)
    if JSON.match(start):
        source = _json(path, text, start, is_name, header, made)
    elif corpora.is_rasa(text):
        source = made("rasa", corpora.rasa_rows(text), shape="rasa")
        source.notes.append("Rasa NLU: one row for each example, the intent is the target")
    elif corpora.is_conll(text):
        sentences = list(corpora.conll_rows(text))
        if len(sentences) == 1 and len(text.splitlines()) > 100:
            refuse(
                path,
                "is CoNLL (a token and its tag a line) without blank lines between sentences",
                "Add them",
            )
        if not any(isinstance(row, RowError) or row["entities"] for _, row in sentences):
            refuse(
                path,
                "is CoNLL in which every tag is O, so there is nothing to learn",
                "Label its entities first",
            )
        source = made("conll", sentences, shape="conll")
        source.notes.append("CoNLL: one row for each sentence, its entities as a JSON object are the target")
    elif corpora.is_fasttext(text):
        source = made("fasttext", corpora.fasttext_rows(text), shape="fasttext")
    else:
        source = _table(path, text, is_name, header, made)
    source.notes[:0] = notes
    return source


def limited(rows: Iterable[tuple[int, Row | RowError]], path: Path) -> Numbered:
    """`rows`, of which there may be at most `MAX_ROWS`."""
    for count, row in enumerate(rows):
        if count == MAX_ROWS:
            refuse_many(path, MAX_ROWS)
        yield row


def _text(opened: Opened, path: Path) -> str:
    content = opened.content
    if not content.strip(b"\xef\xbb\xbf \t\r\n"):
        what = "is empty" if not content else "holds only blank lines"
        refuse(path, what, "Put one example per line in it")
    text = decode(opened, path)
    if "\0" in text[: 1 << 16]:
        refuse(
            path, "is a binary file (it holds NUL bytes)", "Give rows as CSV, JSONL, JSON, Parquet or Excel"
        )
    return text


def without_comments(text: str) -> str:
    """`text` from its first line that is neither blank nor a comment."""
    place = 0
    while place < len(text):
        end = text.find("\n", place)
        end = len(text) if end < 0 else end
        line = text[place:end].strip()
        if line and not line.startswith(("#", "//")):
            return text[place:].lstrip()
        place = end + 1
    return ""


# --- JSON -------------------------------------------------------------------------------------------


def _json(
    path: Path, text: str, start: str, is_name: IsName, header: bool | None, made: Callable[..., RowFile]
) -> RowFile:
    if "\r" in text:  # in JSON a line end of any kind is a space
        text, start = (one.replace("\r\n", "\n").replace("\r", "\n") for one in (text, start))
    shape = json_rows.shape_of(start)
    notes: list[str] = []
    if shape != "lines" and re.search(r"^\s*//", start, re.MULTILINE):
        start = re.sub(r"^\s*//.*$", "", start, flags=re.MULTILINE)
        notes.append("comment lines (//) left out")
    if shape == "lines":
        if start.startswith("["):
            values = [value for _, value in json_rows.line_values(text, notes)]
            return _cells(made, "jsonl", Found(values), is_name, header, notes)
        return made("jsonl", objects(json_rows.line_values(text, notes)), notes=notes)
    try:
        if shape == "values":
            return made("json", objects(enumerate(json_rows.values_in(start), start=1)))
        value = _items(path, start) if shape == "list" else decode_document(start)
        found = json_rows.rows_in(value, is_name, path.name)
    except RowError as error:
        refuse(path, str(error), error.fix)
    except NoRows as error:
        refuse(path, str(error), error.fix)
    if found.rows and all(isinstance(row, list) for row in found.rows[:5]):
        return _cells(made, "json", found, is_name, header, [*notes, *found.notes])
    rows = objects(enumerate(found.rows, start=1))
    return made("json", rows, columns=found.columns, notes=[*notes, *found.notes], shape=found.shape)


def _items(path: Path, text: str) -> list[Any]:
    """The items of a JSON list, with a `RowError` in the place of one that cannot be used."""
    items: list[Any] = []
    try:
        items.extend(item for _, item in array_items(text))
    except json.JSONDecodeError as error:
        what = f"line {error.lineno} is not valid JSON ({error.msg}, column {error.colno})"
        refuse(path, what, why=f"It comes after row {len(items)} of the list" if items else "")
    except RowError as error:
        items.append(error)
    return items


def objects(values: Iterable[tuple[int, Any]]) -> Numbered:
    for number, value in values:
        try:
            yield number, value if isinstance(value, RowError) else as_object(value)
        except RowError as error:
            yield number, error


def _cells(
    made: Callable[..., RowFile],
    kind: str,
    found: Found,
    is_name: IsName,
    header: bool | None,
    notes: list[str],
) -> RowFile:
    """Rows that are lists of cells, under the names that the document or its first row gives, or 1, 2, ..."""
    first = next((row for row in found.rows if isinstance(row, list)), [])
    columns, rows = found.columns, list(enumerate(found.rows, start=1))
    if not columns:
        named = bool(first) and all(isinstance(cell, str) for cell in first)
        named = named and sum(map(is_name, first)) * 2 >= len(first)
        if header if header is not None else named:
            columns, rows = tuple(map(str, first)), rows[1:]
        else:
            columns = tuple(str(n) for n in range(1, len(first) + 1))

    def objects() -> Numbered:
        for number, value in rows:
            try:
                yield number, value if isinstance(value, RowError) else cells_to_row(value, columns)
            except RowError as error:
                yield number, error

    return made(kind, objects(), columns=columns, notes=notes)


# --- tables -----------------------------------------------------------------------------------------


def _table(
    path: Path, text: str, is_name: IsName, header: bool | None, made: Callable[..., RowFile]
) -> RowFile:
    suffix = path.suffix.lower()
    if is_yaml(text):
        refuse_plain(path, text)
    try:
        table = read_table(text, is_name, header, suffix in TABLES)
    except NotATable:
        table = None
    except RowError as error:
        refuse(path, str(error), error.fix)
    if suffix in (".jsonl", ".ndjson", ".json") and not (table and any(map(is_name, table.columns))):
        return made("jsonl", objects(json_rows.line_values(text, [])))  # whose errors say what is wrong
    if table is None:
        refuse_plain(path, text)
    return made("csv", table.rows, columns=table.columns, notes=table.notes, header=table.header)
