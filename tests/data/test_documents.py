"""Folders of documents."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from data.test_pdf import pdf_of
from rung.data import documents
from rung.data.documents import is_documents, read_corpus
from rung.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "handbook"
    (found / "more").mkdir(parents=True)
    (found / "leave.md").write_text(
        "# Leave\n\nEveryone has 27 days a year.\n\n## Sick\n\nCall before nine.\n"
    )
    (found / "mill.txt").write_text("The mill opens at seven.")
    (found / "more" / "saw.html").write_text("<h1>Saw</h1><p>It is loud.<script>x()</script>")
    (found / "more" / "tools.pdf").write_bytes(pdf_of("Tools are lent for a week."))
    return found


def test_all_kinds_are_read_in_the_order_of_their_names(folder: Path) -> None:
    found = read_corpus(folder)
    assert [(one.source, one.title, one.text) for one in found.passages] == [
        ("leave.md", "Leave", "Everyone has 27 days a year."),
        ("leave.md", "Leave > Sick", "Call before nine."),
        ("mill.txt", "mill", "The mill opens at seven."),
        ("more/saw.html", "Saw", "It is loud."),
        ("more/tools.pdf", "tools", "Tools are lent for a week."),
    ]
    assert found.name == "handbook"
    assert found.left_out == ()
    assert found.files == ("leave.md", "mill.txt", "more/saw.html", "more/tools.pdf")
    assert found.words == 23


def test_the_hash_is_of_names_and_contents(folder: Path) -> None:
    before = read_corpus(folder).sha256
    assert read_corpus(folder).sha256 == before
    (folder / "mill.txt").rename(folder / "mills.txt")
    renamed = read_corpus(folder).sha256
    assert renamed != before
    (folder / "mills.txt").write_text("The mill opens at six.")
    assert read_corpus(folder).sha256 != renamed


def test_one_file_is_enough(folder: Path) -> None:
    found = read_corpus(folder / "leave.md")
    assert [one.source for one in found.passages] == ["leave.md", "leave.md"]


def test_what_is_left_out_is_named_and_stops_nothing(folder: Path, tmp_path: Path) -> None:
    whole = read_corpus(folder)
    outside = tmp_path / "secret.md"
    outside.write_text("# Secret\n\nThe code is 4711.")
    (folder / "link.md").symlink_to(outside)
    (folder / "circle").symlink_to(folder)
    (folder / "empty.md").write_text(" \n")
    (folder / "marks.txt").write_text("--- *** ---")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 nothing else")
    (folder / "false.pdf").write_text("only text")
    (folder / "app.html").write_text("<html><body><script>draw()</script></body></html>")
    (folder / "picture.txt").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    (folder / "noise.txt").write_bytes(b"a\0b" * 90)
    (folder / "pointer.md").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    os.mkfifo(folder / "pipe.txt")
    with zipfile.ZipFile(folder / "all.zip", "w") as packed:
        packed.writestr("inside.md", "# Inside")
    (folder / ".hidden.md").write_text("# Hidden")
    found = read_corpus(folder)
    assert found.passages == whole.passages
    assert found.sha256 == whole.sha256
    gone = dict(found.left_out)
    assert set(gone) == {
        *("link.md", "circle", "empty.md", "marks.txt", "broken.pdf", "false.pdf", "app.html"),
        *("picture.txt", "noise.txt", "pointer.md", "pipe.txt", "all.zip"),
    }
    for name, words in {
        "link.md": "is a link, which is not followed",
        "empty.md": "is empty. Put its text in it",
        "marks.txt": "has no text",
        "broken.pdf": "is a PDF",
        "false.pdf": "is not a PDF, though its name says so",
        "app.html": "is a web page without text",
        "picture.txt": "is a PNG image",
        "noise.txt": "binary",
        "pointer.md": "git lfs pull",
        "pipe.txt": "is a pipe",
        "all.zip": "is of another kind. Give text, Markdown, HTML or PDF",
    }.items():
        assert words in gone[name]
    assert all(str(folder) not in why for why in gone.values())


def test_limits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MOST_BYTES", 30)
    assert "leave.md" in dict(read_corpus(folder).left_out)
    monkeypatch.undo()
    monkeypatch.setattr(documents, "MOST_FILES", 2)
    with pytest.raises(DataError, match="more than 2 files"):
        read_corpus(folder)
    monkeypatch.undo()
    monkeypatch.setattr(documents, "DEEPEST", 0)
    assert dict(read_corpus(folder).left_out) == {"more": "is more than 0 folders deep"}


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no document that can be read") as caught:
        read_corpus(tmp_path)
    assert "PDF" in str(caught.value)
    (tmp_path / "x.md").write_text("")
    with pytest.raises(DataError, match=r"x\.md is empty"):
        read_corpus(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        read_corpus(tmp_path / "none.md")


def test_which_paths_are_documents(folder: Path) -> None:
    assert is_documents(folder)
    assert is_documents(Path("x.PDF"))
    assert not is_documents(Path("x.jsonl"))
    assert not is_documents(Path("x.txt"))
