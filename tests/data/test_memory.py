"""Rows that are in memory: lists of dicts, frames by their protocols, Datasets."""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rung.data.arrow_rows import class_names
from rung.data.memory import Rows, rows_of, source_of
from rung.errors import DataError, UsageError

PLAIN = [{"text": "the lamp hums", "label": "good"}, {"text": "the paint peels", "label": "bad"}]
FEATURES = {"label": {"names": ["address", "delivery"], "_type": "ClassLabel"}, "text": {"_type": "Value"}}
METADATA = {b"huggingface": json.dumps({"info": {"features": FEATURES}}).encode()}


class Streams:
    """Nothing but Arrow's own protocol, as new pandas and polars offer it."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


class Interchange:
    """Nothing but the dataframe interchange protocol, as older pandas offers it."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __dataframe__(self, nan_as_null: bool = False, allow_copy: bool = True) -> object:
        return self._table.__dataframe__(nan_as_null, allow_copy)


class ClassLabel:
    """A feature with names, as `datasets` has it."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)


class Dataset:
    """What is used of `datasets.Dataset`: features, and rows as Arrow in the order that was selected."""

    def __init__(self, table: pa.Table, order: list[int], **features: object) -> None:
        self.data = table  # all rows, whatever was selected
        self.features = features
        self._order = order
        self._format = ""

    def with_format(self, name: str) -> Dataset:
        other = Dataset(self.data, self._order, **self.features)
        other._format = name
        return other

    def __getitem__(self, key: slice) -> pa.Table:
        assert self._format == "arrow"
        return self.data.take(pa.array(self._order[key]))


class Stream:
    """What is used of `datasets.IterableDataset`: features, and rows one after the other."""

    def __init__(self, rows: list[dict[str, Any]], **features: object) -> None:
        self.features = features
        self._rows = rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._rows)


def table(**columns: Any) -> pa.Table:
    return pa.table(columns)


def column(data: Any, name: str = "x") -> list[Any]:
    return [row.get(name) for row in rows_of(data).rows]


PLAIN_TABLE = pa.Table.from_pylist(PLAIN)


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        tuple(PLAIN),
        iter(PLAIN),
        PLAIN_TABLE,
        Streams(PLAIN_TABLE),
        Interchange(PLAIN_TABLE),
        Dataset(PLAIN_TABLE, [0, 1]),
        Stream(PLAIN),
        [{key: np.str_(value) for key, value in row.items()} for row in PLAIN],
    ],
    ids=["list", "tuple", "iterator", "table", "stream", "interchange", "dataset", "iterable", "numpy"],
)
def test_the_same_rows_are_the_same_whatever_holds_them(data: Any) -> None:
    found, wanted = rows_of(data), rows_of(PLAIN)
    assert found == wanted
    assert (found.rows, found.columns, found.name) == (PLAIN, ("text", "label"), "data")
    assert all(type(value) is str for row in found.rows for value in row.values())


def test_the_fingerprint_is_of_the_content() -> None:
    marks = {
        rows_of(PLAIN).sha256,
        rows_of(PLAIN[::-1]).sha256,
        rows_of([{"label": row["label"], "text": row["text"]} for row in PLAIN]).sha256,
        rows_of([*PLAIN, {"text": "x", "label": "good"}]).sha256,
        rows_of(Dataset(PLAIN_TABLE, [0, 1], label=ClassLabel("a", "b"))).sha256,
    }
    assert len(marks) == 5
    assert rows_of(PLAIN, "other").sha256 in marks


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (float("nan"), None),
        (np.float32("nan"), None),
        (np.datetime64("NaT"), None),
        (type("NAType", (), {})(), None),
        (type("NaTType", (datetime.datetime,), {})(2000, 1, 1), None),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (True, True),
        (np.array([1, 2]), [1, 2]),
        ((1, "a"), [1, "a"]),
        ({"a": np.int8(1), 2: [float("nan")]}, {"a": 1, "2": [None]}),
        (datetime.date(2024, 5, 1), "2024-05-01"),
        (datetime.datetime(2024, 5, 1, 12, 30), "2024-05-01T12:30:00"),
        (np.datetime64("2024-05-01"), "2024-05-01"),
        (decimal.Decimal("1.50"), "1.50"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_values_become_what_json_knows(value: Any, plain: Any) -> None:
    (found,) = column([{"x": value}])
    assert found == plain
    assert type(found) is type(plain)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("inf"), "row 2 holds 'inf'"),
        (b"abc", "a bytes, which JSON does not know"),
        (object, "a type, which JSON does not know"),
        ([{"a": {1}}], "a set, which JSON does not know"),
        ("\ud800", "half of a character"),
    ],
)
def test_other_values_are_refused_with_their_row(value: Any, said: str) -> None:
    with pytest.raises(DataError) as caught:
        rows_of([{"x": "fine"}, {"x": value}], "mine")
    assert said in str(caught.value)
    assert str(caught.value).startswith("mine: row 2 ")


def test_whole_numbers_that_a_gap_made_floats_are_whole_again() -> None:
    assert column(table(x=pa.array([1.0, None, 0.0]))) == [1, None, 0]
    assert column(table(x=[1.0, float("nan"), 0.0])) == [1, None, 0]
    assert column(table(x=pa.array([1.0, None, 0.5]))) == [1.0, None, 0.5]
    whole = column(table(x=[1.0, 0.0]))
    assert (whole, {type(value) for value in whole}) == ([1.0, 0.0], {float})


def test_an_index_without_a_name_is_no_column() -> None:
    frame = pa.table({"text": ["x"], "__index_level_0__": [7]})
    assert rows_of(Streams(frame)).columns == ("text",)
    assert rows_of(pa.table({"text": ["x"], "id": [7]})).columns == ("text", "id")


def test_categories_and_times_of_a_table_are_text() -> None:
    stamp = pa.array([1714566600000000001], pa.timestamp("ns"))
    frame = table(kind=pa.array(["a"]).dictionary_encode(), at=stamp, days=pa.array([19844], pa.date32()))
    assert rows_of(frame).rows == [{"kind": "a", "at": "2024-05-01T12:30:00", "days": "2024-05-01"}]


def test_two_columns_of_one_name_are_refused() -> None:
    frame = pa.Table.from_arrays([pa.array(["x"]), pa.array(["y"])], names=["text", "text"])
    with pytest.raises(DataError, match="two columns named 'text'"):
        rows_of(frame)


def test_class_names_come_with_a_dataset_and_with_a_table_of_one() -> None:
    numbered = table(text=["x", "y", "z"], label=[1, 0, -1])
    names = {"label": ("address", "delivery")}
    found = rows_of(Dataset(numbered, [0, 1, 2], label=ClassLabel("address", "delivery"), text=object()))
    assert found.class_names == names
    assert [row["label"] for row in found.rows] == [1, 0, -1]
    assert rows_of(numbered.replace_schema_metadata(METADATA)).class_names == names
    assert rows_of(Stream([{"label": 0}], label=ClassLabel("address", "delivery"))).class_names == names


def test_a_selection_of_a_dataset_is_what_is_read() -> None:
    """Its table still holds every row, in the old order."""
    assert column(Dataset(table(x=["a", "b", "c"]), [2, 0])) == ["c", "a"]


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"{}", b'{"info": {"features": []}}', b'{"info": null}'])
def test_metadata_of_another_sort_names_no_classes(raw: bytes) -> None:
    assert class_names({b"huggingface": raw}) == {}
    assert class_names({b"pandas": raw}) == {}
    assert class_names(None) == {}


def test_rows_with_different_keys_keep_them() -> None:
    found = rows_of([{"a": 1}, {"b": 2, 3: 4}])
    assert found.columns == ("a", "b", "3")
    assert found.rows == [{"a": 1}, {"b": 2, "3": 4}]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"train": PLAIN, "test": PLAIN}, r"mapping of 'train', 'test', not rows\. Give one of its parts"),
        (7, r"'7', a int, which holds no rows\. Give a path, a list of dicts"),
        (None, "a NoneType, which holds no rows"),
        (b"rows.csv", "a bytes, which holds no rows"),
    ],
)
def test_what_holds_no_rows_is_refused_with_what_does(data: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        rows_of(data)


def test_rows_that_are_no_dicts_are_refused() -> None:
    with pytest.raises(DataError, match=r"data: row 2 is 'a text', not a dict"):
        rows_of([{"text": "x"}, "a text"])


@pytest.mark.parametrize("data", [[], iter([]), pa.table({"text": pa.array([], pa.string())})])
def test_no_rows_at_all(data: Any) -> None:
    with pytest.raises(DataError, match="data: holds no rows"):
        rows_of(data)


def test_a_path_stays_a_path(tmp_path: Path) -> None:
    assert source_of(str(tmp_path)) == tmp_path
    assert source_of(tmp_path) == tmp_path
    rows = source_of(PLAIN, "test")
    assert isinstance(rows, Rows)
    assert rows.name == "test"
    assert source_of(rows) is rows


def test_pandas() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame({"text": ["x", "y", None], "label": [1, None, 0], "at": pandas.NaT})
    found = rows_of(frame.iloc[[2, 0]])
    assert found.rows == [{"text": None, "label": 0, "at": None}, {"text": "x", "label": 1, "at": None}]


def test_polars() -> None:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    assert rows_of(polars.DataFrame(PLAIN)) == rows_of(PLAIN)


def test_datasets() -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    data = datasets.Dataset.from_dict({"text": ["x", "y"], "label": [1, 0]}, features=features)
    found = rows_of(data.select([1]))
    assert (found.rows, found.class_names) == ([{"text": "y", "label": 0}], {"label": ("no", "yes")})
