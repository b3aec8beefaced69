"""New rows can be read again and again, and their columns are known before the first answer."""

from __future__ import annotations

from pathlib import Path

import pytest

import letters
from rung.data.formats import read_examples
from rung.data.new_rows import Asker
from rung.data.sources import source_of, texts
from rung.data.strict_json import RowError
from rung.errors import DataError


@pytest.fixture
def asker(letters_csv: Path) -> Asker:
    return Asker(read_examples(letters_csv).reading)


def test_a_file_is_looked_through_once_and_read_again(asker: Asker, tmp_path: Path) -> None:
    rows = [{"text": "a", "n": 1}, {"text": "b", "n": 2.5, "more": None}, {"n": 1 << 70}]
    source = source_of(letters.write_jsonl(tmp_path / "a.jsonl", rows), asker)
    assert (source.columns, source.count, source.kind) == (("text", "n", "more"), 3, "jsonl")
    assert list(source.rows()) == list(source.rows()) == rows
    assert source.kinds["text"] == {str}
    assert str in source.kinds["n"]
    assert "more" not in source.kinds
    assert source.sha256 == letters.digest(tmp_path / "a.jsonl")


def test_bad_rows_are_counted_and_kept_in_their_places(asker: Asker, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n{"text": \n{"text": "c"}\n')
    source = source_of(path, asker)
    assert source.count == 3
    assert [isinstance(row, RowError) for row in source.rows()] == [False, True, False]


def test_a_table_of_one_column_needs_no_known_name(tmp_path: Path) -> None:
    rows = [{"remark": text, "label": label} for text, label in letters.rows(60)]
    asker = Asker(read_examples(letters.write_jsonl(tmp_path / "old.jsonl", rows)).reading)
    (tmp_path / "new.csv").write_text("remark\none\ntwo\n")
    assert list(source_of(tmp_path / "new.csv", asker).rows()) == [{"remark": "one"}, {"remark": "two"}]


@pytest.mark.parametrize("name", ["a.txt", "a.TXT"])
def test_a_text_file_has_one_text_a_line(asker: Asker, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes("\ufeffone, two\r\n\nd\u00e9j\u00e0".encode())
    source = source_of(tmp_path / name, asker)
    assert (source.kind, source.columns, source.count) == ("lines", ("text",), 3)
    assert [row["text"] for row in source.rows() if isinstance(row, dict)] == [
        "one, two",
        "",
        "d\u00e9j\u00e0",
    ]


def test_lines_are_rows(asker: Asker) -> None:
    assert list(texts(["a\n", "b\r\n", "c"], asker)) == [{"text": "a"}, {"text": "b"}, {"text": "c"}]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.csv", "id,body\n1,x\n", "lacks the prompt column 'text'.*has 'id', 'body'"),
        ("a.csv", "", "is empty"),
        ("a.csv", "text,label\n", "holds no rows"),
        ("a.jsonl", '{"text": \n', "no row can be read"),
        ("a.txt", "", "holds no rows"),
        ("a.csv", "%PDF-1.7", "is a PDF document"),
    ],
)
def test_a_file_that_cannot_be_asked_is_refused(
    asker: Asker, tmp_path: Path, name: str, content: str, why: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=why):
        source_of(tmp_path / name, asker)


def test_a_missing_file_is_refused(asker: Asker, tmp_path: Path) -> None:
    for name in ("none.txt", "none.csv"):
        with pytest.raises(DataError, match=r"cannot be read|no such file"):
            source_of(tmp_path / name, asker)
