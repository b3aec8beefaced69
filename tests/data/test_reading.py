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

from rung.data import names, reading
from rung.data.formats import read_examples
from rung.data.reading import Problems, numbered, open_rows
from rung.data.strict_json import RowError
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
    assert str(path)[:100] in text  # the middle of a very long name is left out
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
    source = open_rows(path, names.is_name)
    assert list(source) == list(enumerate(ROWS, start=1))
    assert source.kind == kind
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert source.notes == []


def test_parquet_gives_the_same_rows_and_says_what_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    table = pa.Table.from_pylist([{**row, "blob": b"\x80\x04pickle"} for row in ROWS])
    pq.write_table(table, path, row_group_size=2)
    loaded = read_examples(path)
    assert [(e.row, e.messages[0].content, e.target) for e in loaded.examples] == [
        (n, row["text"], row["label"]) for n, row in enumerate(ROWS, start=1)
    ]
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.parts == {"prompt": ("text",), "target": ("label",), "not used": ("blob",)}
    assert loaded.parts_line == "prompt: text; target: label; not used: blob"
    assert loaded.warnings == ()


def test_parquet_with_nested_messages(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    turns = [{"role": "user", "content": "a", "name": None}, {"role": "assistant", "content": "b"}]
    pq.write_table(pa.Table.from_pylist([{"messages": turns}] * 3), path)
    loaded = read_examples(path)
    assert len(loaded.examples) == 3
    assert loaded.warnings == ()


def test_parquet_cells_must_have_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": [b"a", b"c"], "label": ["b", "d"]}), path)
    assert "each of rows 1, 2 has bytes in text where text is needed" in refusal(path)
    pq.write_table(pa.table({"text": [None, "a"], "label": ["b", "c"]}), path)
    loaded = read_examples(path)
    assert loaded.left_out == ((1, "it has no user or system text before the target"),)
    assert [example.row for example in loaded.examples] == [2]


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
        (b"\x1f\x8b\x08" + bytes(30), "is compressed with gzip and cannot be unpacked"),
        (bytes(range(256)), "is a binary file"),
        (b"a,b\n\0\0\n", "is a binary file"),
        (LINE.encode("utf-16")[:-1], "begins as UTF-16 text but is damaged"),
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

    monkeypatch.setattr("rung.data.opening.open_plain", refuse)
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
    (b'{"text": "\xed\xa0\x80", "label": "b"}', "is not UTF-8 (byte 0xed)"),
    (b'{"text": "\xc3\xa9\xc3\xbc caf\xe9", "label": "b"}', "is not UTF-8 (byte 0xe9)"),
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
    assert "line 2 is not UTF-8" in refusal(write(b'[\n{"text": "\xed\xa0\x80"}]', "a.json"))


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
    assert "each of lines 2 to 6 and 35 more ends before its JSON object does" in text
    assert text.count("ends before") == 1


def test_different_reasons_are_said_apart(write: Write) -> None:
    text = refusal(write("\n".join([LINE, "3", "[", "3", "3", *[str(n) for n in range(10, 20)]])))
    assert "each of lines 2, 4, 5 is '3', not an object; line 3 ends before" in text
    assert text.endswith('; and 7 more. Write each example as one object, {"prompt": …}.')


def test_numbers_of_rows_in_words() -> None:
    assert numbered("line", [7], 1) == "line 7"
    assert numbered("row", [1, 2], 2) == "each of rows 1, 2"
    assert numbered("row", [1, 3, 8], 3) == "each of rows 1, 3, 8"
    assert numbered("line", [2, 3, 4], 3) == "each of lines 2 to 4"
    assert numbered("line", [1, 2, 3, 4, 5], 1204) == "each of lines 1 to 5 and 1,199 more"


def test_no_problems_raise_nothing() -> None:
    problems = Problems("a.csv", "row")
    problems.raise_any()
    problems.add(4, RowError("is wrong", "Repair it"))
    with pytest.raises(DataError, match=r"^a\.csv: row 4 is wrong\. Repair it\.$"):
        problems.raise_any()


def test_there_is_a_most_of_rows(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_ROWS", 2)
    assert len(read_examples(write(f"{LINE}\n" * 2)).examples) == 2
    assert "holds more than 2 rows" in refusal(write(f"{LINE}\n" * 3))
    assert "holds more than 2 rows" in refusal(write("text,label\n" + "a,b\n" * 3, "a.csv"))


def test_one_object_over_several_lines_is_a_row(write: Write) -> None:
    text = json.dumps({"text": "a", "label": "b"}, indent=1)
    for content in (text, f"{text}\n{text}"):
        loaded = read_examples(write(content, "a.json"))
        assert [e.row for e in loaded.examples] == [1, 2][: content.count("text")]
        assert {(e.prompt[0].content, e.target) for e in loaded.examples} == {("a", "b")}


def test_a_very_long_line_is_passed_over_not_held(write: Write) -> None:
    text = refusal(write(f'{LINE}\n{"x" * 5_000_000}\n{LINE}\n{{"text": "a"}}\n'))
    assert "line 2 is longer than 1,000,000 characters" in text
    assert "line 4 lacks 'label'" in text


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("text,label\na,b\nc\n", "row 2 (line 3) has 1 cell where the header has 2, with a comma between"),
        ("\ntext,label\na,b,c\n", "row 1 (line 3) has 3 cells where the header has 2"),
        ("nice film,good\nbad film,bad\n", "The columns are 'nice film' ('bad film'), 'good' ('bad')"),
        ("nice film,good\nbad film,bad\n", "`rung check a.csv --prompt 'nice film' --completion good`"),
        ("nice film,good\nbad film,bad\n", "`rung check a.csv --no-header --prompt 1 --completion 2`"),
        ("text,lable\na,b\n", "`rung check a.csv --prompt text --completion lable`"),
        ("text,label,text\na,b,c\n", "two columns named 'text'"),
        ("text,label\n", "holds no rows"),
        ('text,label\n"a, b",c\n"open,c\n', "row 2 is not valid CSV (unexpected end of data, line 3)"),
        ('text,label\n"a, b" c,d\n', "row 1 is not valid CSV"),
        ("text,label\n,c\n", "has an empty 'text' in every row"),
        ("just some words\nand more\n", "is plain text (2 lines) without columns"),
    ],
)
def test_bad_csv(write: Write, content: str, part: str) -> None:
    assert part in refusal(write(content, "a.csv"))


@pytest.mark.parametrize(("name", "end"), [("a.csv", "text,label\na,b\ncafé,c\n"), ("a.jsonl", "")])
def test_windows_1252_is_read_and_said(write: Write, name: str, end: str) -> None:
    content = end or f'{LINE}\n{{"text": "café", "label": "c"}}\n'
    loaded = read_examples(write(content.encode("cp1252"), name))
    assert [e.prompt[0].content for e in loaded.examples] == ["a", "café"]
    assert "read as Windows-1252, since it is not UTF-8: " in loaded.warnings[0]
    assert "café" in loaded.warnings[0]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_read_and_said(write: Write, encoding: str) -> None:
    loaded = read_examples(write(LINE.encode(encoding)))
    assert (loaded.examples[0].prompt[0].content, loaded.examples[0].target) == ("a", "b")
    assert loaded.warnings == (f"read as {encoding.upper()} text",)


def test_quotes_that_mean_nothing(write: Write) -> None:
    loaded = read_examples(write('text\tlabel\n"a" b\tc\n5" nails\td\n', "a.tsv"))
    assert [e.prompt[0].content for e in loaded.examples] == ['"a" b', '5" nails']
    assert loaded.warnings == ("quotes in this file are plain characters: every line is one row",)


def test_a_table_without_a_header(write: Write) -> None:
    content = "nice film it was,good\ngood fun all along,good\na bad one again,bad\n"
    loaded = read_examples(write(content, "a.csv"))
    assert (loaded.examples[0].prompt[0].content, loaded.examples[0].target) == ("nice film it was", "good")
    assert len(loaded.examples) == 3
    assert "columns are called 1, 2, ..." in loaded.warnings[0]


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


def test_a_broken_object_among_objects_over_several_lines(write: Write) -> None:
    whole = json.dumps({"prompt": "a", "completion": "b"}, indent=1)
    assert len(read_examples(write(f"{whole}\n{whole}", "a.json")).examples) == 2
    assert "row 2 is not valid JSON" in refusal(write(f"{whole}\n{whole.replace('b', chr(1))}", "a.json"))


def test_a_column_that_cannot_be_typed_is_not_in_the_commands(write: Write) -> None:
    rows = [{"a\nb": f"text {n} of five words here", "zebra": f"more {n} text of words"} for n in range(9)]
    text = refusal(write("\n".join(map(json.dumps, rows))))
    assert "--prompt COLUMN --completion zebra" in text
