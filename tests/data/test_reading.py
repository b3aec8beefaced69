"""Files of every kind give the same rows; hostile and broken files are refused by line."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rung.data.formats import read_examples
from rung.data.reading import RowFile
from rung.errors import DataError

Write = Callable[..., Path]
ROWS = [
    {"text": 'He said "no, thanks"', "label": "bad"},
    {"text": "two\nlines; and more", "label": "good"},
    {"text": "naïve 日本語 🙂", "label": "good"},
]
LINE = '{"text": "a", "label": "b"}'


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def keep(content: str | bytes, name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return keep


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_examples(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


def csv_of(mark: str, end: str = "\n") -> str:
    cells = [["text", "label"], *[['"' + r["text"].replace('"', '""') + '"', r["label"]] for r in ROWS]]
    return end.join(mark.join(row) for row in cells) + end


def jsonl(end: str = "\n", ascii: bool = False) -> str:
    return end.join(json.dumps(row, ensure_ascii=ascii) for row in ROWS) + end


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.jsonl", jsonl(), "jsonl"),
        ("a.jsonl", jsonl(ascii=True), "jsonl"),
        ("a.jsonl", jsonl("\r\n"), "jsonl"),
        ("a.jsonl", "\ufeff" + jsonl(), "jsonl"),
        ("a.jsonl", jsonl().rstrip("\n"), "jsonl"),
        ("a.txt", jsonl(), "jsonl"),
        ("a.json", json.dumps(ROWS, indent=2), "json"),
        ("a.jsonl", "\ufeff \r\n" + json.dumps(ROWS), "json"),
        ("a.csv", csv_of(","), "csv"),
        ("a.csv", csv_of(";"), "csv"),
        ("a.tsv", csv_of("\t"), "csv"),
        ("a.csv", "\ufeff\n" + csv_of(",", "\r\n"), "csv"),
        ("a", csv_of(","), "csv"),
    ],
)
def test_every_kind_gives_the_same_rows(write: Write, name: str, content: str, kind: str) -> None:
    path = write(content, name)
    source = RowFile(path, ("text", "label"))
    assert [row for _, row in source] == ROWS
    assert source.kind == kind
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [number for number, _ in source] == [1, 2, 3]


def test_parquet_gives_the_same_rows_and_reads_only_known_columns(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    table = pa.Table.from_pylist([{**row, "blob": b"\x80\x04pickle"} for row in ROWS])
    pq.write_table(table, path, row_group_size=2)
    loaded = read_examples(path)
    assert [(e.row, e.messages[0].content, e.target) for e in loaded.examples] == [
        (n, row["text"], row["label"]) for n, row in enumerate(ROWS, start=1)
    ]
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.warnings == ("keys that are not used: 'blob'",)


def test_parquet_with_nested_messages(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    turns = [{"role": "user", "content": "a", "name": None}, {"role": "assistant", "content": "b"}]
    pq.write_table(pa.Table.from_pylist([{"messages": turns}] * 3), path)
    loaded = read_examples(path)
    assert len(loaded.examples) == 3
    assert loaded.warnings == ()


@pytest.mark.parametrize(
    ("column", "part"),
    [([None], "row 1 has null in text"), ([b"a"], "row 1 has \"b'a'\", a bytes in text")],
)
def test_parquet_cells_must_be_text(tmp_path: Path, column: list[object], part: str) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": column, "label": ["b"]}), path)
    assert part in refusal(path)


def test_broken_parquet(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["a"] * 9, "label": ["b"] * 9}), path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:4], b"PAR1" + bytes(200) + b"PAR1"):
        path.write_bytes(content)
        assert "Parquet" in refusal(path)
    path.write_text("hello")
    assert "not a Parquet file" in refusal(path)
    pq.write_table(pa.table({f"c{i}": ["a"] for i in range(1001)}), path)
    assert "1,001 columns" in refusal(path)
    pq.write_table(pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.string())}), path)
    assert "holds no rows" in refusal(path)


def test_jsonl_rows_are_numbered_by_line(write: Write) -> None:
    path = write(f"\n{LINE}\n  \n{LINE}\n")
    assert [e.row for e in read_examples(path).examples] == [2, 4]
    assert read_examples(path).examples[0].source == "rows.jsonl"


def test_csv_rows_are_numbered_by_record(write: Write) -> None:
    path = write('text,label\n"a\nb",x\n\nc,y\n', "a.csv")
    assert [e.row for e in read_examples(path).examples] == [1, 2]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "only blank lines"),
        (b"\n \r\n\t\n", "only blank lines"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is a PNG image"),
        (b"\x80\x04\x95" + bytes(30), "is a pickle"),
        (b"PK\x03\x04" + bytes(30), "is a zip archive"),
        (b"\x1f\x8b\x08" + bytes(30), "is compressed with gzip"),
        (bytes(range(256)), "is a binary file"),
        (LINE.encode("utf-16"), "is UTF-16 text"),
        (LINE.encode("utf-16-le"), "is UTF-16 text"),
        (LINE.encode("utf-16-be"), "is UTF-16 text"),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.json"])
def test_files_that_are_not_rows(write: Write, content: bytes, part: str, name: str) -> None:
    assert part in refusal(write(content, name))


def test_paths_that_are_not_files(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.jsonl")
    assert "is a folder" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "a pipe or a device" in refusal(tmp_path / "pipe.jsonl")
    assert "a pipe or a device" in refusal(Path("/dev/zero"))
    assert "cannot be read" in refusal(tmp_path / ("x" * 300))


def test_a_file_without_permission(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(LINE)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "cannot be read (Permission denied)" in refusal(path)


DEEP = '{"text": "a", "label": "b", "x": ' + "[" * 10_000 + "]" * 10_000 + "}"
BAD_LINES: list[tuple[str | bytes, str]] = [
    ('{"text": "a", "label": "b"', "ends before its JSON object does"),
    ('{"text": "a', "ends before its JSON object does"),
    ('{"text": "a", "label": b}', "is not valid JSON (Expecting value, column 24)"),
    (LINE + LINE, "is not valid JSON (Extra data"),
    ("[1]", "is '[1]', not an object"),
    ("3", "is '3', not an object"),
    ('{"text": "a", "label": NaN}', "holds NaN"),
    ('{"text": "a", "label": -Infinity}', "holds -Infinity"),
    ('{"text": "a", "label": 1e999}', "too large"),
    ('{"text": "a", "label": "b", "label": "c"}', "has the key 'label' twice"),
    ('{"text": "a", "label": "b", "x": {"y": 1, "y": 2}}', "has the key 'y' twice"),
    ('{"text": "\\ud800", "label": "b"}', "lone surrogate"),
    ('{"text": "a", "label": "b", "\\uDFFF": 1}', "lone surrogate"),
    ('{"text": "a", "label": ' + "1" * 5000 + "}", "a number of 5,000 digits"),
    (DEEP, "more than 100 levels deep"),
    ('{"x": ' * 101 + "1" + "}" * 101, "more than 100 levels deep"),
    ('{"text": "' + "a" * 1_000_000 + '", "label": "b"}', "longer than 1,000,000"),
    (b'{"text": "a\x00", "label": "b"}', "is not valid JSON"),
    (b'{"text": "caf\xe9", "label": "b"}', "is not UTF-8 (byte 0xe9 at position 14)"),
    (b'{"text": "\xed\xa0\x80", "label": "b"}', "is not UTF-8"),
]


@pytest.mark.parametrize(("line", "part"), BAD_LINES)
def test_bad_lines_are_refused_by_number(write: Write, line: str | bytes, part: str) -> None:
    line = line.encode() if isinstance(line, str) else line
    filler = (LINE + "\n").encode() * (1 if b"\0" not in line else 3000)
    text = refusal(write(filler + line + b"\n" + LINE.encode() + b"\n"))
    assert f"line {filler.count(bytes([10])) + 1} " in text
    assert part in text


@pytest.mark.parametrize(("item", "part"), [(a, b) for a, b in BAD_LINES if isinstance(a, str)])
def test_bad_items_of_an_array_are_refused(write: Write, item: str, part: str) -> None:
    if item.startswith('{"text": "a') and ("before" in part or "Extra" in part):
        part = "is not valid JSON"
    text = refusal(write(f"[\n{LINE},\n{item},\n{LINE}]", "a.json"))
    part = part.split(" (Expecting")[0]
    assert part in text
    assert "row 2" in text or "line 3" in text or "line 4" in text


@pytest.mark.parametrize(
    "content", [f"[{LINE},", f"[{LINE}", f"[{LINE} {LINE}]", f"[{LINE},]", f"[{LINE}] {LINE}", "["]
)
def test_broken_arrays(write: Write, content: str) -> None:
    assert "line 1 is not valid JSON" in refusal(write(content, "a.json"))


def test_array_edges(write: Write) -> None:
    assert "holds no rows" in refusal(write("[ ]", "a.json"))
    assert "row 2 is '7', not an object" in refusal(write(f"[{LINE}, 7, {LINE}]", "a.json"))
    assert "line 2 is not UTF-8" in refusal(write(b'[\n{"text": "\xe9"}]', "a.json"))


def test_depth_counts_no_brackets_in_text(write: Write) -> None:
    row = {"text": '\\"[{' * 500, "label": "b", "x": [[[["]"]]]]}
    assert read_examples(write(json.dumps(row))).examples[0].messages[0].content == row["text"]
    nested = '{"text": "a", "label": "b", "x": ' + "[" * 99 + "]" * 99 + "}"
    assert len(read_examples(write(nested)).examples) == 1


def test_whole_surrogate_pairs_are_text(write: Write) -> None:
    loaded = read_examples(write('{"text": "\\ud83d\\ude42", "label": "b"}'))
    assert loaded.examples[0].messages[0].content == "🙂"


def test_all_bad_lines_are_gathered_and_counted(write: Write) -> None:
    text = refusal(write("\n".join([LINE, *["{"] * 40, LINE])))
    assert all(f"line {n} " in text for n in range(2, 7))
    assert "line 7 " not in text
    assert "and 35 more" in text


def test_one_object_over_several_lines(write: Write) -> None:
    text = refusal(write(json.dumps({"text": "a", "label": "b"}, indent=1), "a.json"))
    assert "Put each object on one line" in text


def test_a_very_long_line_is_passed_over_not_held(write: Write) -> None:
    text = refusal(write(f'{LINE}\n{"x" * 5_000_000}\n{LINE}\n{{"text": "a"}}\n'))
    assert "line 2 is longer than 1,000,000 bytes" in text
    assert "line 4 lacks 'label'" in text


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("text,label\na,b\nc\n", "row 2 (line 3) has 1 cells where the header has 2"),
        ("\ntext,label\na,b,c\n", "row 1 (line 3) has 3 cells where the header has 2"),
        ("nice film,good\nbad film,bad\n", "the columns are 'nice film', 'good'"),
        ("nice film,good\nbad film,bad\n", "let the first line of a CSV name its columns"),
        ("text,lable\na,b\n", "Did you mean 'label'?"),
        ("text,label,text\na,b,c\n", "two columns named 'text'"),
        ("text,label\n", "holds no rows"),
        ('text,label\na,b\n"open,c\n', "row 2 is not valid CSV"),
        ('text,label\n"a" b,c\n', "row 1 is not valid CSV"),
        ("text,label\n,c\n", "row 1 has no user or system text"),
        ("just some words\nand more\n", "the columns are 'just some words'"),
    ],
)
def test_bad_csv(write: Write, content: str, part: str) -> None:
    assert part in refusal(write(content, "a.csv"))


def test_csv_that_is_not_utf8_names_the_line(write: Write) -> None:
    text = refusal(write("text,label\na,b\ncafé,c\n".encode("latin-1"), "a.csv"))
    assert "line 3 is not UTF-8 (byte 0xe9" in text


def test_csv_with_a_late_nul(write: Write) -> None:
    text = refusal(write("text,label\n" + "a,b\n" * 17_000 + "a\0,b\n", "a.csv"))
    assert "row 17001 (line 17002) holds a NUL" in text


def test_csv_cells_may_be_long(write: Write) -> None:
    loaded = read_examples(write(f"text,label\n{'a' * 500_000},b\n", "a.csv"))
    assert len(loaded.examples[0].messages[0].content) == 500_000


def test_the_delimiter_is_the_one_that_finds_the_columns(write: Write) -> None:
    loaded = read_examples(write("prompt;completion;a,b,c,d\nx, y;z;1\n", "a.csv"))
    assert loaded.examples[0].messages[0].content == "x, y"


def test_random_bytes_never_escape_as_other_errors(write: Write) -> None:
    chance = random.Random(0)
    start = f"{LINE}\n{LINE}\n".encode()
    refused = 0
    for trial in range(300):
        content = bytearray(start)
        for _ in range(chance.randrange(1, 4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path = write(bytes(content), chance.choice(["a.jsonl", "a.csv", "a.json", f"a{trial % 3}"]))
        try:
            read_examples(path)
        except DataError:
            refused += 1
    assert refused > 100
