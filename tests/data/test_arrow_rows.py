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


LARGE = "a" * (20 << 20)
CODED = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int8()), [LARGE])
LISTS = pa.ListArray.from_arrays(pa.array(range(0, 1001, 10)), pa.array([LARGE[: 2 << 20]] * 1000))


@pytest.mark.parametrize("column", [CODED, LISTS], ids=["texts", "lists"])
@pytest.mark.parametrize("schema", [True, False], ids=["coded", "plain"])
def test_a_few_kilobytes_that_unpack_to_gigabytes(column: Any, schema: bool) -> None:
    buffer = io.BytesIO()
    pq.write_table(
        pa.table({"text": column}),
        buffer,
        compression="zstd",
        dictionary_pagesize_limit=1 << 30,
        store_schema=schema,
    )
    assert len(buffer.getvalue()) < 10_000
    with pytest.raises(DataError, match="unpacks to more than 1 GiB"):
        list(parquet_rows(PATH, buffer.getvalue(), 9999)["rows"])


def test_many_cells_in_few_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rung.data.arrow_rows.MAX_CELLS", 5)
    with pytest.raises(DataError, match="has more than 5 cells"):
        parquet_rows(PATH, parquet(), 9)
    with pytest.raises(DataError, match="has more than 5 cells"):
        list(arrow_rows(PATH, arrow(stream=True), 9)["rows"])


def test_values_are_the_same_however_they_are_coded() -> None:
    words = pa.array(["a", None, "b", "a"])
    chats = [[{"role": "user", "content": "x"}], [], None, [{"role": None, "content": "x"}]]
    table = pa.table(
        {
            "plain": words,
            "coded": words.dictionary_encode(),
            "numbers": pa.array([1, 2, 1, None]).dictionary_encode(),
            "bytes": pa.array([b"x", None, b"", b"x"]),
            "chats": chats,
            "pairs": pa.array([[("k", "v")], [], None, [("k", None)]], pa.map_(pa.string(), pa.string())),
        }
    )
    assert [row for _, row in parquet_rows(PATH, parquet(table), 9)["rows"]] == table.to_pylist()
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, table.schema) as writer:
        writer.write_table(table)
    assert [row for _, row in arrow_rows(PATH, buffer.getvalue(), 9)["rows"]] == table.to_pylist()


def test_places_outside_the_memory_are_refused() -> None:
    whole = arrow(stream=True)
    ends = (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + (2).to_bytes(4, "little") * 2
    assert whole.count(ends) == 1
    damaged = whole.replace(ends, ends[:4] + (1 << 30).to_bytes(4, "little") + ends[8:])
    with pytest.raises(DataError, match="cannot be read as Arrow after row 0"):
        list(arrow_rows(PATH, damaged, 9)["rows"])


def test_a_name_that_is_not_utf8_is_refused() -> None:
    damaged = arrow(stream=True).replace(b"text", b"\xffext")
    with pytest.raises(DataError, match="cannot be read as Arrow after row 0"):
        arrow_rows(PATH, damaged, 9)
