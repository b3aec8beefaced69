"""Rows with more columns are written in the format that a name says."""

from __future__ import annotations

import csv
import datetime
import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from rung.data.strict_json import decode_line
from rung.data.writing import Lines, Table, require_ending, writer_for
from rung.errors import UsageError

ROWS: list[dict[str, Any]] = [
    {"text": 'a, "b"\nc', "n": 1, "x": 0.5, "list": [1, {"k": "é"}], "answer": "yes"},
    {"text": None, "n": None, "answer": None},
]
COLUMNS = ("text", "n", "x", "list", "answer")
KINDS: dict[str, set[type[Any]]] = {"text": {str}, "n": {int}, "x": {float}, "list": {list}}


def test_csv() -> None:
    file = io.StringIO()
    Table(file, COLUMNS).write(ROWS)
    file.seek(0)
    head, first, second = csv.reader(file)
    assert tuple(head) == COLUMNS
    assert first == ['a, "b"\nc', "1", "0.5", '[1, {"k": "é"}]', "yes"]
    assert second == [""] * 5


def test_cells_of_a_table_are_as_their_owner_wrote_them() -> None:
    file = io.StringIO()
    row = {"n": decode_line("1.50"), "t": datetime.date(2026, 1, 2), "b": True}
    Table(file, ["n", "t", "b"], "\t").write([row])
    assert file.getvalue() == "n\tt\tb\n1.50\t2026-01-02\ttrue\n"


def test_lines() -> None:
    file = io.StringIO()
    Lines(file).write(ROWS)
    assert [json.loads(line) for line in file.getvalue().splitlines()] == ROWS


def parquet(path: Path, rows: list[dict[str, Any]], columns: Any, kinds: Any, schema: Any = None) -> Any:
    writer = writer_for(path, path, columns, kinds, schema)
    writer.write(rows[:1])
    writer.write(rows[1:])
    writer.close()
    return pyarrow.parquet.read_table(path)


def test_parquet_of_rows_that_have_no_types(tmp_path: Path) -> None:
    table = parquet(tmp_path / "a.parquet", ROWS, COLUMNS, KINDS)
    assert [str(field.type) for field in table.schema] == ["string", "int64", "double", "string", "string"]
    assert table.to_pylist() == [
        {**ROWS[0], "list": '[1, {"k": "é"}]'},
        dict.fromkeys(COLUMNS, None),
    ]


def test_parquet_keeps_the_types_of_parquet(tmp_path: Path) -> None:
    rows = [{"at": datetime.datetime(2026, 1, 2), "raw": b"\xff", "tags": ["a"]}, {"at": None}]
    old = pyarrow.Table.from_pylist(rows)
    columns = [*old.column_names, "answer"]
    answered = [{**row, "answer": "x"} for row in old.to_pylist()]
    table = parquet(tmp_path / "a.parquet", answered, columns, {}, old.schema)
    assert table.drop_columns(["answer"]).equals(old)
    assert table["answer"].to_pylist() == ["x", "x"]


def test_mixed_values_become_text(tmp_path: Path) -> None:
    rows = [{"v": 1}, {"v": "one"}]
    assert parquet(tmp_path / "a.parquet", rows, ["v"], {"v": {int, str}})["v"].to_pylist() == ["1", "one"]


def test_the_name_says_the_format(tmp_path: Path) -> None:
    for name in ("a.csv", "a.TSV", "a.jsonl", "a.ndjson", "a.parquet"):
        require_ending(tmp_path / name)
    for name in ("a.xlsx", "a"):
        with pytest.raises(UsageError, match="cannot write"):
            require_ending(tmp_path / name)
    writer = writer_for(tmp_path / "hidden.tmp", tmp_path / "a.tsv", ["a", "b"], {})
    writer.write([{"a": 1, "b": "x y"}])
    writer.close()
    assert (tmp_path / "hidden.tmp").read_text() == "a\tb\n1\tx y\n"
