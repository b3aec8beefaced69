"""Files without rows: each kind is named in its own error, with what to do."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from rung.data.refusals import is_yaml, refuse_binary, refuse_many, refuse_plain, refuse_text
from rung.errors import DataError


def packed(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"%PDF-1.7\n", ["is a PDF document", "Extract its text"]),
        (b"\xd0\xcf\x11\xe0" + bytes(9), ["is an old Excel or Word file", "Save it as .xlsx"]),
        (b"SQLite format 3\0", ["is an SQLite database", "sqlite3 -header -csv"]),
        (b"GGUF\x03", ["is a model in GGUF format", "--base"]),
        (b"\x80\x05\x95", ["is a pickle, which rung never opens"]),
        (bytes(257) + b"ustar" + bytes(9), ["is a tar archive", "tar -xf rows.x"]),
        (packed("a.csv", "b.csv"), ["is a zip archive. It holds a.csv, b.csv.", "unzip rows.x"]),
        (packed("a", "b", "c", "d"), ["It holds a, b, c and more"]),
        (packed("word/document.xml"), ["is a Word document"]),
        (packed("mimetype", "content.xml"), ["is an OpenDocument file", "Save it as .xlsx"]),
        (packed("archive/data.pkl"), ["is a PyTorch file, which holds a pickle"]),
        (b"PK\x03\x04" + bytes(9), ["is a zip archive that is damaged"]),
    ],
)
def test_binary_files(content: bytes, parts: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        refuse_binary(Path("rows.x"), content)
    assert [part for part in parts if part not in str(caught.value)] == []


def test_excel_and_text_are_let_through() -> None:
    refuse_binary(Path("a.xlsx"), packed("xl/workbook.xml", "xl/worksheets/sheet1.xml"))
    refuse_binary(Path("a.csv"), b"text,label\na,b\n")
    refuse_text(Path("a.csv"), "text,label\na,b\n")
    refuse_text(Path("a.jsonl"), '{"text": "<html>"}')


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            ["is a Git LFS pointer", "git lfs pull"],
        ),
        ("\n<!DOCTYPE html>\n<html>", ["is a web page", "Download the raw file"]),
        ("<html><body>", ["is a web page"]),
        ('<?xml version="1.0"?><a/>', ["is XML"]),
        ("<rows>\n<row/>\n</rows>\n", ["is XML"]),
        ("{'text': 'a'}\n", ["holds Python values in single quotes, not JSON", "json.dumps"]),
        ("[{'text': 'a'}]", ["holds Python values in single quotes"]),
        ("CREATE TABLE t (a int);", ["is an SQL dump"]),
    ],
)
def test_text_files(text: str, parts: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        refuse_text(Path("a.txt"), text)
    assert [part for part in parts if part not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("text", "yaml"),
    [
        ("a: 1\nb: 2\n", True),
        ("---\nname: x\nitems:\n  - y\n  - z\n", True),
        ("- text: a\n  label: b\n- text: c\n  label: d\n", True),
        ("a: 1\n", False),
        ("text,label\na: 1\nb: 2\nc: 3\nd: 4\ne: 5\n", False),
        ("One: a line.\nTwo lines of prose here.\nAnd a third: well.\nNo.\n", False),
    ],
)
def test_yaml(text: str, yaml: bool) -> None:
    assert is_yaml(text) is yaml


def test_plain_text_and_its_other_side(tmp_path: Path) -> None:
    path = tmp_path / "pairs.en"
    with pytest.raises(DataError, match=r"is plain text \(2 lines\) without columns"):
        refuse_plain(path, "a cat\n\na dog\n")
    with pytest.raises(DataError, match=r"is plain text \(1 line\)"):
        refuse_plain(path, "a cat")
    with pytest.raises(DataError, match="is YAML, which holds no rows"):
        refuse_plain(path, "a: 1\nb: 2\n")
    (tmp_path / "pairs.fr").write_text("un chat\n")
    command = r"paste pairs.en pairs.fr \| sed '1i en\\tfr' > pairs.tsv"
    with pytest.raises(DataError, match=f"one sentence a line. rung needs both sides in one file: {command}"):
        refuse_plain(path, "a cat\n")


def test_too_many_rows() -> None:
    with pytest.raises(DataError, match=r"^a\.csv: holds more than 3,000 rows"):
        refuse_many(Path("a.csv"), 3000)
