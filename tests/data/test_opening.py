"""Bytes become text by what they are, and what was not UTF-8 is said."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from rung.data import opening
from rung.data.opening import decode, open_file, require_file
from rung.errors import DataError

CONTENT = "text,label\nünder,1\n".encode()


def zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content))


def text(path: Path, content: bytes) -> tuple[str, list[str]]:
    path.write_bytes(content)
    opened = open_file(path)
    return decode(opened, path), opened.notes


@pytest.mark.parametrize(
    ("pack", "name"),
    [(bytes, ""), (gzip.compress, "gzip"), (bz2.compress, "bzip2"), (lzma.compress, "xz"), (zstd, "zstd")],
)
def test_compressed_files_are_unpacked(tmp_path: Path, pack: Callable[[bytes], bytes], name: str) -> None:
    path = tmp_path / "rows.bin"
    path.write_bytes(pack(CONTENT))
    opened = open_file(path)
    assert (opened.content, opened.packed) == (CONTENT, name)
    assert opened.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd])
def test_a_damaged_archive_is_refused(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "rows.bin"
    whole = pack(CONTENT * 50)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"is compressed with \w+ and cannot be unpacked"):
        open_file(path)


def test_an_archive_may_not_unpack_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MAX_BYTES", 1 << 16)
    monkeypatch.setattr(opening, "_BLOCK", 1 << 12)
    path = tmp_path / "rows.gz"
    path.write_bytes(gzip.compress(bytes(1 << 17)))
    with pytest.raises(DataError, match="the most that is read"):
        open_file(path)
    path.write_bytes(gzip.compress(bytes(1 << 15)))
    assert len(open_file(path).content) == 1 << 15


@pytest.mark.parametrize(
    ("encoding", "note"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-16", "read as UTF-16 text"),
        ("utf-16-le", "read as UTF-16-LE text"),
        ("utf-16-be", "read as UTF-16-BE text"),
        ("utf-32", "read as UTF-32 text"),
        ("cp1252", "read as Windows-1252, since it is not UTF-8: 'ünder,1'; if that looks wrong, save"),
    ],
)
def test_encodings(tmp_path: Path, encoding: str, note: str | None) -> None:
    found, notes = text(tmp_path / "a.csv", CONTENT.decode().encode(encoding))
    assert found == CONTENT.decode()
    assert len(notes) == (note is not None)
    assert note is None or notes[0].startswith(note)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("a,b\nпривет мир,да\n".encode("cp1251"), ["line 2 is not UTF-8 (byte 0xef)", "cp1251", "iconv -f"]),
        ("a,b\n你好世界,是的\n".encode("gb18030"), ["line 2 is not UTF-8", "could be gb18030"]),
        ("a,b\nüé ñü,b\n".encode() + b"\xe9\n", ["line 3", "Most of the file is UTF-8", "iconv -c"]),
        (b"a,b\n\x01\xff\n", ["is a binary file (it holds control characters)"]),
        (b"\xff\xfea", ["begins as UTF-16 text but is damaged"]),
    ],
)
def test_what_is_no_text_in_these_encodings(tmp_path: Path, content: bytes, parts: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        text(tmp_path / "a.csv", content)
    assert [part for part in parts if part not in str(caught.value)] == []


def test_a_folder_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("x")
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(DataError, match=r"is a folder, not a file. It holds 'a\.csv', 'b\.csv'"):
        open_file(tmp_path)


def test_a_file_is_required_without_reading_it(tmp_path: Path) -> None:
    good = tmp_path / "good.csv"
    good.write_bytes(b"x")
    require_file(good)
    with pytest.raises(DataError, match="no such file"):
        require_file(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match="is a folder"):
        require_file(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="a pipe or a device"):
        require_file(tmp_path / "pipe")
