"""Documents cut into passages, records as passages, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import shelf
from rung.data import passages
from rung.data.passages import passage, read_documents, shortened, shown
from rung.errors import DataError

HANDBOOK = """# Handbook

Welcome.

## Holidays
Everybody has 31 days.

Ask your lead first.

## Travel

Trains only.

```
# not a heading
```
"""


def test_a_record_is_one_passage_with_its_texts_first(tmp_path: Path) -> None:
    _, path = shelf.write(tmp_path)
    found = read_documents(path)
    assert (len(found.passages), found.name, found.notes) == (24, "house.jsonl", ())
    first = found.passages[0]
    assert first.title == "lamp.start"
    assert first.source == "house.jsonl"
    assert first.text == (
        "name: lamp.start\ncall: lamp.start(room)\n"
        "description: The lamp of a room: start turns it on at once and keeps it running.\n"
        'arguments: [{"name": "room", "type": "str"}]'
    )
    assert shown(first) == first.text  # the title is in it
    assert found.facts() == {"name": "house.jsonl", "passages": 24, "mark": found.mark}


@pytest.mark.parametrize("name", ["r.json", "r.csv", "r.jsonl"])
def test_records_of_any_container(tmp_path: Path, name: str) -> None:
    rows = [{"name": "tea", "text": "Tea is at four."}, {"name": "mail", "text": "Mail is at nine."}]
    path = tmp_path / name
    if name.endswith("csv"):
        path.write_text("name,text\ntea,Tea is at four.\nmail,Mail is at nine.\n")
    elif name.endswith("json"):
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_documents(path).passages
    assert [(one.title, one.text) for one in found] == [
        ("tea", "Tea is at four."),
        ("mail", "Mail is at nine."),
    ]
    assert shown(found[0]) == "tea\nTea is at four."


def test_a_record_that_is_one_long_text_is_cut_like_a_text(tmp_path: Path) -> None:
    path = tmp_path / "wiki.jsonl"
    path.write_text(
        json.dumps({"id": "7", "title": "Bees", "text": " ".join(f"Bee {n} dances." for n in range(200))})
        + "\n"
    )
    found = read_documents(path).passages
    assert len(found) > 2
    assert {one.title for one in found} == {"Bees"}


def test_long_records_keep_short_lines_and_lose_what_is_nested() -> None:
    text = "\n".join(
        ["name: a.b", f"call: {'c' * 150}", f"description: {'d ' * 300}", f"example: {'e' * 900}"]
    )
    short = shortened(text, 600)
    lines = short.split("\n")
    assert len(short) <= 610
    assert lines[:2] == text.split("\n")[:2]
    assert lines[2].endswith("…")
    assert len(lines[2]) >= 200
    assert shortened("short", 600) == "short"
    assert len(shortened("\n".join("x" * 50 for _ in range(1000)), 600)) <= 610


def test_a_folder_is_read_in_the_order_of_its_names_and_says_what_it_left_out(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# B\n\nSecond.")
    (tmp_path / "a.txt").write_text("First.")
    (tmp_path / "again.md").write_text("# B\n\nSecond.")
    (tmp_path / "empty.txt").write_text("  \n")
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    (tmp_path / ".hidden.txt").write_text("No.")
    inner = tmp_path / "more"
    inner.mkdir()
    (inner / "c.jsonl").write_text('{"q": "Third?", "a": "Third."}\n')
    os.symlink(tmp_path, inner / "loop")
    found = read_documents(tmp_path)
    assert [one.text for one in found.passages] == ["First.", "Second.", "q: Third?\na: Third."]
    assert found.notes == (
        "1 file left out, which hold no text (.png)",
        "empty.txt holds no text",
        "1 passage left out: the same as an earlier one",
    )


def test_the_mark_follows_the_content_alone(tmp_path: Path) -> None:
    for folder in ("one", "two", "three"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text("Same." if folder != "three" else "Other.")
    one, two, three = (read_documents(tmp_path / folder).mark for folder in ("one", "two", "three"))
    assert one == two != three


def test_records_without_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"name": "a", "what": "One."}\n{"name": null, "what": ""}\n{"name": "--", "what": []}\n')
    found = read_documents(path)
    assert len(found.passages) == 1
    assert found.notes == ("r.jsonl: each of lines 2, 3 left out: no text in it",)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("empty.txt", b"", "holds no text to look answers up in.*empty.txt"),
        ("blank.md", b" \n\n", "holds no text to look answers up in"),
        ("nothing.jsonl", b'{"a": ""}\n', "holds no text to look answers up in"),
        ("bad.jsonl", b'{"a": "x"}\n{"a": \n', "line 2"),
        ("zero.txt", b"a\0b", "NUL"),
        ("scan.pdf", b"%PDF-1.4\n", "scan.pdf"),
        ("photo.png", b"\x89PNG\x01\x02", "photo.png"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, name: str, content: bytes, what: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=what):
        read_documents(tmp_path / name)


def test_a_missing_path_an_empty_folder_and_a_pipe(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_documents(tmp_path / "gone")
    (tmp_path / "room").mkdir()
    with pytest.raises(DataError, match="holds no text to look answers up in"):
        read_documents(tmp_path / "room")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe or a device"):
        read_documents(tmp_path / "pipe")


def test_too_much_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big = tmp_path / "big.txt"
    with big.open("wb") as file:
        file.truncate(passages.MOST_BYTES + 1)  # sparse
    with pytest.raises(DataError, match="at most 256 MiB of documents are read"):
        read_documents(big)
    monkeypatch.setattr(passages, "MOST_PASSAGES", 3)
    _, path = shelf.write(tmp_path)
    with pytest.raises(DataError, match="more than 3 passages"):
        read_documents(path)
    monkeypatch.setattr(passages, "MOST_FILES", 1)
    big.unlink()
    with pytest.raises(DataError, match="more than 1 files"):
        read_documents(tmp_path)


def test_the_id_is_that_of_title_and_text() -> None:
    assert passage("a", "b", "x.md").id == passage("a", "b", "y.md").id != passage("a", "c").id
