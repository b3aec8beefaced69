"""Text -> a table: finds the delimiter, the way of quoting and the header, and names what does not fit.

Tried are the ways in which people write tables: CSV as the standard has it, with spaces after the
delimiter, with backslashes before quotes, and with quotes that mean nothing (many TSV files). The first
that gives every row as many cells as the header wins.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from rung.data.strict_json import MAX_LINE, Row, RowError, show

MAX_COLUMNS = 1000
MAX_CELLS = 50_000_000  # where few bytes can hold many of them
DELIMITERS = ",;\t|"
_SAMPLE = 200  # records that decide about delimiter and header
_QUOTES = "Put double quotes around a text that contains quotes, and double the quotes inside it"
_MARK_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
_NUMBER = re.compile(r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?")

Record = tuple[int, list[str]]  # line on which it ends, cells
_WAYS: tuple[dict[str, Any], ...] = (
    {"doublequote": True},
    {"doublequote": True, "skipinitialspace": True},
    {"doublequote": False, "escapechar": "\\"},
)


class NotATable(ValueError):
    """Text in which no delimiter gives columns; with the reason as the end of a sentence, or empty."""


@dataclass
class Table:
    """A table that has been understood; `rows` can be iterated once."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[int, Row | RowError]]  # 1-based number of the record, and it or what is wrong
    notes: list[str] = field(default_factory=list)
    header: bool = True
    fault: csv.Error | None = None  # that ended the reading
    stream: Callable[[Iterable[str]], Iterator[tuple[int, Row | RowError]]] | None = None
    """Reads the rows in the lines of a longer text that begins with this one; None where it cannot."""


def read_table(
    text: str, known: Callable[[str], bool], header: bool | None = None, sure: bool = True
) -> Table:
    """The table in `text`.

    `known` says whether a cell is a well-known column name; `header` whether the first line names the
    columns (None: found out). Columns without a header are called 1, 2, ... `sure` says that the file's name
    promises a table: prose has commas too. Raises `NotATable` where there are no columns, `RowError` where
    the columns themselves cannot be used.
    """
    csv.field_size_limit(MAX_LINE)
    notes: list[str] = []
    whole = text
    text, asked = _prepared(text, notes)
    delimiter = asked or _delimiter(text, known)
    if delimiter is None and not _one_column(text, known):
        raise NotATable
    records, fault, way = _records(text, delimiter or ",", notes)
    if not records:
        raise NotATable
    width = len(records[0][1])
    _require_few(width)
    looked = [cells for _, cells in records[:_SAMPLE]]
    if not sure and _is_prose(looked, known):
        raise NotATable
    named = header if header is not None else not _is_row(looked, known)
    if named:
        columns, body = [cell.strip() for cell in records[0][1]], records[1:]
        again = sum(cells == records[0][1] for _, cells in body)
        if again:
            notes.append(f"the header occurs {again + 1} times in the file; it is read once")
    else:
        columns, body = [str(n) for n in range(1, width + 1)], records
        if header is None:
            notes.append(
                "the first line looks like a row, not like column names: columns are called 1, 2, ..."
            )
    kept = _kept(columns, body)
    names = _named(columns, kept)
    form = _Form(delimiter or ",", way, width, records[0][1] if named else None, kept, names)
    stream = form.stream if text == whole and len(kept) == width else None
    return Table(names, _rows(body, form, fault), notes, named, fault, stream)


@dataclass(frozen=True, slots=True)
class _Form:
    """How a table is written."""

    mark: str
    way: dict[str, Any] | None  # None: quotes are plain characters
    width: int
    header: list[str] | None
    kept: Sequence[int]
    names: tuple[str, ...]

    def row(self, line: int, cells: list[str]) -> Row | RowError:
        if len(cells) < self.width or any(cells[self.width :]):
            return _ragged(cells, line, self.width, self.mark)
        if any("\0" in cell for cell in cells):
            return RowError(f"(line {line}) holds a NUL character", "Remove it")
        return {name: cells[place] for name, place in zip(self.names, self.kept, strict=True)}

    def stream(self, lines: Iterable[str]) -> Iterator[tuple[int, Row | RowError]]:
        """The rows in `lines`, which begin with the header where there is one."""
        csv.field_size_limit(MAX_LINE)
        number = 0
        for line, cells in _unread(lines, self.mark, self.way):
            if cells == self.header:
                continue
            number += 1
            yield (
                number,
                RowError(f"is not valid CSV (line {line})", _QUOTES)
                if cells is None
                else self.row(line, cells),
            )


def _unread(
    lines: Iterable[str], mark: str, way: dict[str, Any] | None
) -> Iterator[tuple[int, list[str] | None]]:
    """Records one after the other; None in place of the one with which the reader gives up."""
    if way is None:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield number, [_bare(cell) for cell in line.rstrip("\r\n").split(mark)]
        return
    reader = csv.reader(lines, delimiter=mark, strict=True, **way)
    try:
        for cells in reader:
            if cells and (len(cells) > 1 or cells[0].strip()):
                yield reader.line_num, cells
    except csv.Error:
        yield reader.line_num, None


def _prepared(text: str, notes: list[str]) -> tuple[str, str | None]:
    """`text` without what comes before its header, and the delimiter that a line ``sep=;`` names."""
    if "\n" not in text:
        text = text.replace("\r", "\n")  # line ends of an old Mac
    start = re.match(r"(?:[ \t]*\r?\n)*", text)
    text = "\n" * text[: start.end()].count("\n") + text[start.end() :] if start else text
    named = re.match(r"(\n*)\"?sep=(.)\"?[^\S\n]*\n", text)
    if named:
        return named[1] + "\n" + text[named.end() :], named[2]
    comment = re.match(r"(\n*)((?:#[^\n]*\n)+)(?=[^#\n])", text)
    if comment and not any(mark in comment[2] for mark in DELIMITERS):
        number = comment[2].count("\n")
        notes.append(f"{number} comment line{'s' * (number > 1)} before the header left out")
        return "\n" * comment[0].count("\n") + text[comment.end() :], None
    return text, None


def _delimiter(text: str, known: Callable[[str], bool]) -> str | None:
    """The mark that gives header and first rows the same number of columns, more than one.

    Where several do: the one with the most known names in the header, then with the most columns. Where
    none does, the one that most rows agree with, if the header has it at all.
    """
    best: tuple[float, ...] = ()
    found = None
    widest = 0
    for mark in DELIMITERS:
        counts, head = _counts(text, mark)
        if not counts or counts[0] < 2:
            continue
        if counts[0] > MAX_COLUMNS:
            widest = max(widest, counts[0])
            continue
        share = sum(count == counts[0] for count in counts) / len(counts)
        names = sum(known(cell) for cell in head)
        agreed = share == 1.0
        if not agreed and not names and share < 0.5:
            continue
        tight = mark in text[: 1 << 16].replace(f"{mark} ", "")  # a comma in prose has a space behind it
        merit = (agreed, names, share, counts[0], tight)
        if merit > best:
            best, found = merit, mark
    if found is None:
        _require_few(widest)
    return found


def _require_few(width: int) -> None:
    """Raises `RowError` for too many columns."""
    if width > MAX_COLUMNS:
        raise RowError(f"has {width:,} columns; {MAX_COLUMNS:,} is the most", "Leave out what is no text")


def _counts(text: str, mark: str) -> tuple[list[int], list[str]]:
    """Cells of each of the first records, by the way of quoting that agrees most, and the first record."""
    results = []
    for way in _WAYS:
        cells = []
        try:
            for one in islice(
                csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True, **way), _SAMPLE
            ):
                if one:
                    cells.append(one)
        except csv.Error:
            pass
        if cells:
            results.append(cells)
    plain = [line.split(mark) for line in islice(_lines(text), _SAMPLE) if line.strip()]
    results.append(plain)
    chosen = max(
        results,
        key=lambda cells: (sum(len(one) == len(cells[0]) for one in cells), -len(cells)) if cells else (0, 0),
    )
    return [len(one) for one in chosen], (chosen[0] if chosen else [])


def _lines(text: str) -> Iterator[str]:
    for line in io.StringIO(text, newline=""):
        yield line.rstrip("\r\n")


def _one_column(text: str, known: Callable[[str], bool]) -> bool:
    """Whether this is a table of one column: a known name above, or every cell in quotes."""
    lines = [line.strip() for line in islice(_lines(text), _SAMPLE) if line.strip()]
    return len(lines) > 1 and known(lines[0].strip('"'))


def _records(
    text: str, mark: str, notes: list[str]
) -> tuple[list[Record], csv.Error | None, dict[str, Any] | None]:
    """All records by the first way that gives each as many cells as the header; else by the standard way,
    with the error that ended it. The way comes last, None where quotes are plain characters."""
    standard: tuple[list[Record], csv.Error | None] | None = None
    for way in _WAYS if '\\"' in text else _WAYS[:2]:
        records, fault = _parsed(text, mark, way)
        if fault is None and _even(records):
            spaced = _spaced(text, mark, records)
            return (spaced, None, _WAYS[1]) if spaced else (records, None, way)
        standard = standard or (records, fault)
    plain = [
        (number, [_bare(cell) for cell in line.split(mark)])
        for number, line in enumerate(_lines(text), start=1)
        if line.strip()
    ]
    if _even(plain) and len(plain[0][1]) > 1:
        notes.append("quotes in this file are plain characters: every line is one row")
        return plain, None, None
    assert standard is not None
    return (*standard, _WAYS[0])


def _parsed(text: str, mark: str, way: dict[str, Any]) -> tuple[list[Record], csv.Error | None]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True, **way)
    records: list[Record] = []
    try:
        for cells in reader:
            if cells and (len(cells) > 1 or cells[0].strip()):
                records.append((reader.line_num, cells))
    except csv.Error as error:
        return [*records, (reader.line_num, [])], error
    return records, None


def _even(records: Sequence[Record]) -> bool:
    """Whether every record has the cells of the first, or only empty ones more."""
    width = len(records[0][1]) if records else 0
    return all(len(cells) == width or (len(cells) > width and not any(cells[width:])) for _, cells in records)


def _spaced(text: str, mark: str, records: Sequence[Record]) -> list[Record] | None:
    """The records as they are with the spaces after each delimiter skipped, if only cells such as
    `` "a"``, quoted behind a space, differ then below the first record."""
    if f'{mark} "' not in text:
        return None
    spaced, fault = _parsed(text, mark, _WAYS[1])
    if fault is not None or not _even(spaced) or len(spaced) != len(records):
        return None
    cells = [
        pair
        for one, two in zip(records[1:], spaced[1:], strict=True)
        for pair in zip(one[1], two[1], strict=False)
    ]
    changed = [before for before, after in cells if before != after]
    return spaced if changed and all('"' in before for before in changed) else None


def _bare(cell: str) -> str:
    """A cell of a line that is not quoted as a whole file; one that is quoted properly loses its quotes."""
    if re.fullmatch(r'"(?:[^"]|"")*"', cell):
        return cell[1:-1].replace('""', '"')
    return cell


def _is_prose(looked: list[list[str]], known: Callable[[str], bool]) -> bool:
    """Whether these are sentences: no known name above, and a space behind every comma."""
    if any(known(cell) for cell in looked[0]):
        return False
    return all(cell[:1].isspace() for cells in looked for cell in cells[1:])


def _is_row(looked: list[list[str]], known: Callable[[str], bool]) -> bool:
    """Whether the first record is a row of data: its values occur again below, or are like those below."""
    head, below = looked[0], [cells for cells in looked[1:] if len(cells) == len(looked[0])]
    again = [Counter(cells[place].strip() for cells in below) for place in range(len(head))]
    few = [len(column) <= max(2, len(below) / 2) for column in again]
    names = sum(
        known(cell) and not (some and column[cell.strip()] > 1 and len(column) > 1)
        for cell, column, some in zip(head, again, few, strict=True)
    )
    if not below or (names and any(cells == head for cells in below)):
        return False
    if names * 2 >= len(head):
        return False
    if [cell.strip() for cell in head] in ([str(i + k) for i in range(len(head))] for k in (0, 1)):
        return False
    for cell, column, some in zip(head, again, few, strict=True):
        if not cell.strip():
            continue
        if column[cell.strip()] > known(cell) and some:
            return True
        numbers = all(_NUMBER.fullmatch(one) for one in column if one)
        if not names and numbers and _NUMBER.fullmatch(cell.strip()):
            return True
    return not names and _is_sentence(head, below)


def _is_sentence(head: list[str], below: list[list[str]]) -> bool:
    """Whether a cell of the first record is as long as the texts below it, far longer than a name."""
    for place, cell in enumerate(head):
        lengths = sorted(len(cells[place].split()) for cells in below)
        if len(cell.split()) >= 5 and lengths[len(lengths) // 2] >= 4:
            return True
    return False


def _kept(columns: Sequence[str], body: Sequence[Record]) -> list[int]:
    """Places of the columns that are read: all but those without a name and without any value."""
    nameless = [place for place, name in enumerate(columns) if not name]
    full = {place for _, cells in body for place in nameless if place < len(cells) and cells[place].strip()}
    return [place for place in range(len(columns)) if place not in set(nameless) - full]


def _named(columns: Sequence[str], kept: Sequence[int]) -> tuple[str, ...]:
    names = tuple(columns[place] or f"column {place + 1}" for place in kept)
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise RowError(f"has two columns named {show(name)}", "Give every column its own name")
        seen.add(name)
    return names


def _rows(
    body: Sequence[Record], form: _Form, fault: csv.Error | None
) -> Iterator[tuple[int, Row | RowError]]:
    for number, (line, cells) in enumerate(body, start=1):
        if fault is not None and number == len(body):
            yield number, RowError(f"is not valid CSV ({fault}, line {line})", _QUOTES)
        elif cells == form.header:
            continue  # files put together, each with its header
        else:
            yield number, form.row(line, cells)


def _ragged(cells: Sequence[str], line: int, width: int, mark: str) -> RowError:
    count = f"{len(cells)} cell{'s' * (len(cells) != 1)}"
    between = _MARK_NAMES.get(mark, mark)
    what = f"(line {line}) has {count} where the header has {width}, with a {between} between"
    if len(cells) > width:
        return RowError(what, "Put double quotes around a text that contains the delimiter")
    return RowError(what, "Complete the row, or put double quotes around a text that contains a line break")
