"""Files without rows: each kind is named in its own error, with what to do."""

from __future__ import annotations

import glob
import io
import re
import zipfile
from pathlib import Path
from typing import NoReturn

from rung.errors import DataError

_KINDS = "Give rows as CSV, JSONL, JSON, Parquet or Excel (docs/data.md)"
_MAGIC = (
    (b"\x89PNG", "a PNG image", _KINDS),
    (b"\xff\xd8\xff", "a JPEG image", _KINDS),
    (b"GIF8", "a GIF image", _KINDS),
    (b"RIFF", "a sound or video file", _KINDS),
    (b"ID3", "a sound file", _KINDS),
    (b"OggS", "a sound file", _KINDS),
    (b"fLaC", "a sound file", _KINDS),
    (b"%PDF", "a PDF document", "Extract its text into rows first: rung reads examples, not documents"),
    (b"{\\rtf", "a rich text document", "Extract its text into rows first"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", "Save it as .xlsx or as CSV"),
    (b"Rar!", "a rar archive", "Unpack it and give one of its files"),
    (b"7z\xbc\xaf", "a 7z archive", "Unpack it and give one of its files"),
    (b"GGUF", "a model in GGUF format", "Give it with --base"),
    (
        b"SQLite format 3",
        "an SQLite database",
        "Export a table: sqlite3 -header -csv FILE 'select * from T' > rows.csv",
    ),
    (b"\x89HDF", "an HDF5 file", _KINDS),
    (b"\x93NUMPY", "a numpy array", _KINDS),
    (b"Obj\x01", "an Avro file", _KINDS),
    (b"ORC", "an ORC file", _KINDS),
    *((bytes((0x80, protocol)), "a pickle, which rung never opens", _KINDS) for protocol in range(2, 6)),
)
_PAGE = re.compile(r"\s*(?:<!doctype html|<html)", re.IGNORECASE)
_XML = re.compile(r"\s*<\?xml|\s*<([A-Za-z][\w:-]*)(?:\s[^<>]*)?>(?=[\s\S]*</\1>\s*\Z)")
_YAML_LINE = re.compile(r"\s*(?:- |[\w\"'. -]+:(?:\s|$)|#|\||---)")
_PYTHON = re.compile(r"[\[(]?\s*\{\s*'")


def refuse(path: Path, what: str, fix: str = "", why: str = "") -> NoReturn:
    """Raises `DataError` about the whole file."""
    raise DataError(what, where=str(path), why=why, fix=fix)


def refuse_many(path: Path, most: int) -> NoReturn:
    """Raises `DataError` for a file of more than `most` rows."""
    refuse(path, f"holds more than {most:,} rows", "Take a part of them")


def refuse_binary(path: Path, content: bytes) -> None:
    """Raises `DataError` where `content` is a known binary format or no text at all."""
    for magic, name, fix in _MAGIC:
        if content.startswith(magic):
            refuse(path, f"is {name}", fix)
    if content[257:262] == b"ustar":
        refuse(path, "is a tar archive", f"Unpack it (tar -xf {path.name}) and give one of its files")
    if content.startswith(b"PK\x03\x04"):
        _refuse_zip(path, content)


def refuse_text(path: Path, text: str) -> None:
    """Raises `DataError` where `text` is a known kind of text that holds no rows."""
    head = text[: 1 << 16]
    if head.startswith("version https://git-lfs.github.com/spec/"):
        refuse(path, "is a Git LFS pointer, not the file itself", "Run `git lfs pull` in its repository")
    if is_page(head):
        refuse(
            path, "is a web page, not a data file", "Download the raw file: the link led to a page about it"
        )
    if _XML.match(text):
        refuse(path, "is XML", _KINDS)
    if _PYTHON.match(head.lstrip()):
        fix = "Write it with json.dumps, one object a line; ast.literal_eval reads what is there now"
        refuse(path, "holds Python values in single quotes, not JSON", fix)
    if head.startswith(("CREATE TABLE", "INSERT INTO", "-- MySQL dump", "-- PostgreSQL")):
        refuse(path, "is an SQL dump", "Export the table as CSV from the database")


def is_page(text: str) -> bool:
    """Whether `text` is a whole web page."""
    return _PAGE.match(text) is not None


def is_yaml(text: str) -> bool:
    """Whether the first lines, the very first included, look like YAML: keys, list items and comments."""
    lines = [line for line in text[: 1 << 14].splitlines()[:40] if line.strip()]
    keys = [line for line in lines if re.match(r"\s*(?:- )?[\w.-]+:(?:\s|$)", line)]
    return (
        len(keys) >= 2
        and bool(_YAML_LINE.match(lines[0]))
        and sum(bool(_YAML_LINE.match(line)) for line in lines) >= 0.8 * len(lines)
    )


def refuse_plain(path: Path, text: str) -> NoReturn:
    """Raises `DataError`: text that is neither JSON nor a table."""
    if is_yaml(text):
        fix = "Write the rows as JSONL or CSV; of YAML only Rasa's NLU files are read"
        refuse(path, "is YAML, which holds no rows that rung knows", fix)
    lines = [line for line in text.splitlines() if line.strip()]
    sibling = _sibling(path)
    if sibling is not None:
        mine, theirs = path.name, sibling.name
        heads = f"{path.suffix.lstrip('.') or 'source'}\\t{sibling.suffix.lstrip('.') or 'target'}"
        refuse(
            path,
            "is plain text, one sentence a line",
            f"rung needs both sides in one file: paste {mine} {theirs} | sed '1i {heads}' > pairs.tsv",
        )
    many = f"{len(lines):,} lines" if len(lines) != 1 else "1 line"
    refuse(
        path,
        f"is plain text ({many}) without columns",
        "rung learns from examples with a prompt and an answer: give a table with a column for each, or "
        "JSONL. For two parallel text files: paste FILE OTHER | sed '1i source\\ttarget' > pairs.tsv",
    )


def _sibling(path: Path) -> Path | None:
    """The other side of a parallel text: the only file of the same stem and another, unknown suffix."""
    known = {".csv", ".json", ".jsonl", ".md", ".py", ".log", ".gz"}
    try:
        others = [
            other
            for other in path.parent.glob(f"{glob.escape(path.stem)}.*")
            if other.name != path.name and other.is_file() and other.suffix not in known
        ]
    except OSError:
        return None
    return others[0] if len(others) == 1 and path.suffix else None


def _refuse_zip(path: Path, content: bytes) -> None:
    """Raises `DataError` unless this is an Excel workbook."""
    try:
        names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError):
        refuse(path, "is a zip archive that is damaged", "Download or save it again")
    if "xl/workbook.xml" in names:
        return
    if any(name.startswith("word/") for name in names):
        refuse(path, "is a Word document", "Copy its table into a CSV or Excel file")
    if "mimetype" in names and "content.xml" in names:
        refuse(path, "is an OpenDocument file", "Save it as .xlsx or as CSV")
    if any(name.endswith("data.pkl") for name in names):
        refuse(path, "is a PyTorch file, which holds a pickle", _KINDS)
    files = [name for name in names if not name.endswith("/")]
    inside = f"It holds {', '.join(files[:3])}{' and more' if len(files) > 3 else ''}" if files else ""
    refuse(path, "is a zip archive", f"Unpack it (unzip {path.name}) and give one of its files", inside)
