"""Parquet and Arrow files give rows, with the class names in their metadata."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rung.data.arrow_rows import arrow_rows, class_names, parquet_rows
from rung.errors import DataError

PATH = Path("rows.bin")
ROWS = [{"text": "a", "label": 0}, {"text": "b", "label": 1}, {"text": None, "label": -1}]
FEATURES = {"text": {"dtype": "string"}, "label": {"names": ["no", "yes"], "_type": "ClassLabel"}}
TABLE = pa.Table.from_pylist(ROWS).replace_schema_metadata(
    {b"huggingface": json.dumps({"info": {"features": FEATURES}}).encode()}
)


def parquet(table: pa.Table = TABLE) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=2)
    return buffer.getvalue()


def arrow(stream: bool) -> bytes:
    buffer = io.BytesIO()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(buffer, TABLE.schema) as writer:
        writer.write_table(TABLE)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "found",
    [
        lambda: parquet_rows(PATH, parquet(), 3),
        lambda: arrow_rows(PATH, arrow(stream=False), 3),
        lambda: arrow_rows(PATH, arrow(stream=True), 3),
    ],
)
def test_rows_columns_and_class_names(found: Any) -> None:
    made = found()
    assert list(made["rows"]) == list(enumerate(ROWS, start=1))
    assert made["columns"] == ("text", "label")
    assert made["class_names"] == {"label": ("no", "yes")}


@pytest.mark.parametrize(
    ("features", "names"),
    [
        ({"a": {"names": ["x"]}}, {"a": ("x",)}),
        ({"a": {"feature": {"names": ["x", "y"]}}}, {"a": ("x", "y")}),
        ({"a": [{"names": ["x"]}], "b": {"dtype": "string"}}, {"a": ("x",)}),
        ({"a": {"feature": None}, "b": []}, {}),
    ],
)
def test_class_names(features: Any, names: dict[str, tuple[str, ...]]) -> None:
    assert class_names({b"huggingface": json.dumps({"info": {"features": features}}).encode()}) == names


@pytest.mark.parametrize("metadata", [None, {}, {b"huggingface": b"{"}, {b"huggingface": b"[]"}])
def test_metadata_without_class_names(metadata: dict[bytes, bytes] | None) -> None:
    assert class_names(metadata) == {}


def test_what_cannot_be_read() -> None:
    with pytest.raises(DataError, match="holds more than 2 rows"):
        parquet_rows(PATH, parquet(), 2)
    with pytest.raises(DataError, match=r"cannot be read as Parquet after row 0 \("):
        parquet_rows(PATH, parquet()[:40], 9)
    with pytest.raises(DataError, match="cannot be read as Arrow after row 0"):
        arrow_rows(PATH, b"ARROW1\0\0" + bytes(9), 9)
    with pytest.raises(DataError, match="two columns named 'a'"):
        parquet_rows(PATH, parquet(pa.table([["x"], ["y"]], names=["a", "a"])), 9)
    with pytest.raises(DataError, match="has 1,001 columns"):
        parquet_rows(PATH, parquet(pa.table({f"c{n}": [1] for n in range(1001)})), 9)
