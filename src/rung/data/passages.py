"""Documents -> passages: pieces of text, or records of a catalogue, that can be shown in a prompt.

A text, a page or a PDF is cut as `rung.data.documents` does it. A record becomes one passage with a line for
each field. Files are data: no link in them is opened, no archive in a folder is
unpacked, and what is read is bounded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rung import storage
from rung.data.documents import DOCUMENTS, TEXT, passages_in
from rung.data.markup import markdown_sections
from rung.data.names import is_name
from rung.data.opening import open_file, unreadable
from rung.data.reading import numbered, open_rows
from rung.data.sections import passages_of
from rung.errors import DataError
from rung.plain import require_plain
from rung.records import Passage, to_json

RECORDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".xlsx")
MOST_CHARACTERS = 800  # of a passage as it is shown
MOST_RECORD = 4_000  # characters of a record that are kept
MOST_BYTES = 256 << 20  # of all files
MOST_FILES = 10_000  # of a folder
MOST_PASSAGES = 200_000
_WHOLE = 200  # characters of a line that stay in any case
_LEAST = 20  # characters of a line that are worth showing
_TITLES = ("title", "name", "api_name", "heading", "topic", "id")


@dataclass(frozen=True, slots=True)
class Documents:
    """What was read from a file or a folder."""

    passages: tuple[Passage, ...]  # no two with the same text
    name: str  # of the file or folder, without folders above it
    notes: tuple[str, ...] = ()  # what was left out, a line each

    @property
    def mark(self) -> str:
        """16 hex digits that stand for the passages."""
        return mark_of(self.passages)

    def facts(self) -> dict[str, Any]:
        """What was read, as JSON."""
        return {"name": self.name, "passages": len(self.passages), "mark": self.mark}


def mark_of(passages: Sequence[Passage]) -> str:
    """16 hex digits that stand for `passages`."""
    return storage.fingerprint([to_json(one) for one in passages])


def passage(text: str, title: str = "", source: str = "") -> Passage:
    """A passage with its id."""
    return Passage(storage.fingerprint([title, text]), text, title, source)


def read_documents(path: Path) -> Documents:
    """The passages of a file, or of the text and record files in a folder, in the order of their names.

    Raises `DataError` where nothing can be read, where no file has text, or where there is too much.
    """
    try:
        files, others = _files(path)
        _require_size(path, files)
    except OSError as error:
        raise unreadable(path, error) from error
    notes: list[str] = []
    if others:
        kinds = ", ".join(sorted({file.suffix or file.name for file in others})[:5])
        notes.append(f"{len(others)} file{'s' * (len(others) > 1)} left out, which hold no text ({kinds})")
    found: dict[str, Passage] = {}
    same, empty = 0, []
    for file in files:
        before = len(found) + same
        for one in _passages(file, notes):
            known = storage.fingerprint([one.title, one.text])
            same += known in found
            found.setdefault(known, one)
            if len(found) > MOST_PASSAGES:
                what = f"holds more than {MOST_PASSAGES:,} passages, the most that are read"
                raise DataError(what, where=str(path), fix="Take the documents that the questions are about")
        if len(found) + same == before:
            empty.append(file.name)
    if not found:
        raise DataError(
            "holds no text to look answers up in",
            where=str(path),
            why=f"Files that were read: {', '.join(empty[:5])}" if empty else "; ".join(notes),
            fix="Give text or Markdown files, or a file with one record a row (JSONL, JSON, CSV)",
        )
    notes += [f"{name} holds no text" for name in empty[:5]]
    if len(empty) > 5:
        notes.append(f"{len(empty) - 5} more files hold no text")
    if same:
        notes.append(f"{same} passage{'s' * (same > 1)} left out: the same as an earlier one")
    return Documents(tuple(found.values()), path.name or path.resolve().name, tuple(notes))


def _files(path: Path) -> tuple[list[Path], list[Path]]:
    """The files to read, and those of other kinds. Raises `OSError` or `DataError`."""
    if not path.is_dir():
        require_plain(path)
        return [path], []
    files: list[Path] = []
    others: list[Path] = []
    for folder, inside, names in os.walk(path):  # links to folders are not followed
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            if name.startswith(".") or not file.is_file():
                continue
            known = file.suffix.lower() in (*DOCUMENTS, *TEXT[:-1], *RECORDS)
            (files if known else others).append(file)
            if len(files) > MOST_FILES:
                what = f"holds more than {MOST_FILES:,} files, the most that are read"
                raise DataError(what, where=str(path), fix="Give a folder with fewer files")
    return files, others


def _require_size(path: Path, files: Sequence[Path]) -> None:
    size = sum(file.stat().st_size for file in files)
    if size > MOST_BYTES:
        raise DataError(
            f"holds {size / (1 << 20):,.0f} MiB, and at most {MOST_BYTES >> 20} MiB of documents are read",
            where=str(path),
            fix="Take the documents that the questions are about",
        )


def _passages(file: Path, notes: list[str]) -> Iterator[Passage]:
    """Those of one file. Raises `DataError` where it cannot be read."""
    if any(suffix.lower() in RECORDS for suffix in file.suffixes):
        yield from _records(file, notes)
        return
    opened = open_file(file)
    if not opened.content.strip():
        return
    notes += [f"{file.name}: {note}" for note in opened.notes]
    try:
        yield from passages_in(opened.content, file, file.name)
    except DataError as error:
        error.where = error.where or str(file)
        raise


# --- records ----------------------------------------------------------------------------------------


def _records(file: Path, notes: list[str]) -> Iterator[Passage]:
    """One passage for each row of a file; several where a row is one long text."""
    rows = open_rows(file, lambda name: is_name(name) or name.lower() in _TITLES)
    empty: list[int] = []
    for number, row in rows:
        found = list(_of_record(row, file.name))
        if not found:
            empty.append(number)
        yield from found
    rows.problems.raise_any()
    if empty:
        notes.append(f"{file.name}: {numbered(rows.unit, empty[:5], len(empty))} left out: no text in it")


def _of_record(row: Mapping[str, Any], source: str) -> Iterator[Passage]:
    values = {str(name): value for name, item in row.items() if (value := _as_text(item))}
    title = next((values[name] for name in _TITLES if name in values), "")[:200]
    texts = [name for name in values if name not in _TITLES]
    if not any(character.isalnum() for value in values.values() for character in value):
        return
    if len(texts) == 1 and isinstance(row.get(texts[0]), str):  # prose, in lines of its own
        yield from passages_of(markdown_sections(row[texts[0]]), title, source)
        return
    # what is nested comes last: where a record is too long, that is cut first
    ordered = sorted(values, key=lambda name: not isinstance(row.get(name), str))
    text = "\n".join(f"{name}: {values[name]}" for name in ordered)
    yield passage(shortened(text, MOST_RECORD), title, source)


def _as_text(value: Any) -> str:
    """A value of a record in one line; "" where it says nothing."""
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(" ".join(str(item).split()) for item in value)
    return json.dumps(value, ensure_ascii=False, default=str)


def shown(one: Passage) -> str:
    """A passage as it stands in a prompt: its title, unless the text says it, and its text, shortened."""
    text = shortened(one.text)
    said = not one.title or f": {one.title}" in text  # by a field of the record
    return text if said else f"{one.title}\n{text}"


def shortened(text: str, most: int = MOST_CHARACTERS) -> str:
    """`text` in at most `most` characters, or a few more: long lines are cut, and the last ones left out.

    Lines of up to `_WHOLE` characters stay whole, and all are cut at one length.
    """
    if len(text) <= most:
        return text
    lines = text.split("\n")
    low, high = _WHOLE, max(_WHOLE, *map(len, lines))
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(len(line), middle) + 1 for line in lines) <= most:
            low = middle
        else:
            high = middle - 1
    found, left = [], most
    for line in lines:
        room = min(low, left)
        if room < _LEAST:
            break
        found.append(line if len(line) <= room else line[:room].rstrip() + "…")
        left -= len(found[-1]) + 1
    return "\n".join(found)
