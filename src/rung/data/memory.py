"""Rows that are in memory already: a list of dicts, a pandas or polars DataFrame, a `datasets.Dataset`.

None of these libraries is imported. A frame is read through Arrow's own protocol (``__arrow_c_stream__``) or
the dataframe interchange protocol (``__dataframe__``), a Dataset as an Arrow table with the names of its
classes. Values become what JSON knows: NaN and NaT are null, NumPy's numbers are Python's, times are text.
"""

from __future__ import annotations

import datetime
import decimal
import json
import math
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rung.data.arrow_rows import class_names
from rung.data.strict_json import show
from rung.errors import DataError, UsageError
from rung.storage import sha256_bytes

if TYPE_CHECKING:
    import pyarrow

_MISSING = {"NAType", "NaTType"}  # pandas' marks for a missing value
_NUMPY_TIMES = {"datetime64", "timedelta64"}
_TIMES = (datetime.date, datetime.time)
_AS_TEXT = (decimal.Decimal, datetime.timedelta, uuid.UUID)
_INDEX = re.compile(r"__index_level_\d+__")  # what pandas calls an index without a name
_FIX = "Give a path, a list of dicts, a pandas or polars DataFrame, or a datasets.Dataset"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows with the column names in their order; every value is one that JSON knows."""

    rows: list[dict[str, Any]]
    columns: tuple[str, ...]
    name: str  # shown in place of a file's name
    sha256: str  # of columns, class names and rows as JSON
    class_names: dict[str, tuple[str, ...]] = field(default_factory=dict)  # column -> the names of 0, 1, ...


def source_of(data: object, name: str = "data") -> Path | Rows:
    """A path as it is, anything else as `Rows` called `name`. Raises `UsageError` or `DataError`."""
    if isinstance(data, str | Path):
        return Path(data)
    return data if isinstance(data, Rows) else rows_of(data, name)


def rows_of(data: Any, name: str = "data") -> Rows:
    """The rows of a list of dicts, a DataFrame or a Dataset.

    Raises `UsageError` for what holds no rows, `DataError` for rows that cannot be used.
    """
    classes = _feature_names(getattr(data, "features", None))
    table = _table(data)
    if table is not None:
        classes = class_names(table.schema.metadata) | classes
        found = _table_rows(table, name)
    elif isinstance(data, str | bytes | Mapping) or not isinstance(data, Iterable):
        raise _no_rows(data)
    else:
        found = list(data)
    rows = [_row(row, number, name) for number, row in enumerate(found, start=1)]
    if not rows:
        raise DataError("holds no rows", where=name, fix="Put at least 20 examples in it")
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    content = json.dumps([columns, {key: classes[key] for key in sorted(classes)}, rows])
    return Rows(rows, columns, name, sha256_bytes(content.encode()), classes)


def _feature_names(features: Any) -> dict[str, tuple[str, ...]]:
    """Column -> the names of its classes, from the features of a Dataset."""
    if not isinstance(features, Mapping):
        return {}
    found = {}
    for column, feature in features.items():
        while hasattr(feature, "feature"):  # a list of classes
            feature = feature.feature
        names = getattr(feature, "names", None)
        if isinstance(names, list):
            found[str(column)] = tuple(map(str, names))
    return found


def _table(data: Any) -> pyarrow.Table | None:
    """`data` as an Arrow table, or None where it is not one."""
    if hasattr(data, "features") and hasattr(data, "with_format") and hasattr(data, "__getitem__"):
        return data.with_format("arrow")[:]  # keeps the order and the rows that were selected
    if hasattr(data, "__arrow_c_stream__"):
        import pyarrow

        return pyarrow.table(data)
    if hasattr(data, "__dataframe__"):
        from pyarrow.interchange import from_dataframe

        return from_dataframe(data)
    return None


def _table_rows(table: pyarrow.Table, name: str) -> list[dict[str, Any]]:
    """The rows of a table, without the index that pandas adds and with whole numbers where it lost them."""
    import pyarrow

    columns: dict[str, list[Any]] = {}
    for column, values in zip(table.column_names, table.columns, strict=True):
        if column in columns:
            raise DataError(
                f"has two columns named {show(column)}", where=name, fix="Give every column its own name"
            )
        if _INDEX.fullmatch(column):
            continue
        if pyarrow.types.is_timestamp(values.type) and values.type.unit == "ns":
            values = values.cast(pyarrow.timestamp("us", values.type.tz), safe=False)
        items = values.to_pylist()
        if pyarrow.types.is_floating(values.type):
            items = _whole_again(items)
        columns[column] = items
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _whole_again(values: list[float | None]) -> list[Any]:
    """A column of whole numbers that became floats because one of them is missing, as whole numbers."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    if len(known) == len(values) or not all(value.is_integer() for value in known):
        return list(values)
    return [None if value is None or math.isnan(value) else int(value) for value in values]


def _row(row: Any, number: int, name: str) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        what = f"row {number} is {show(row)}, not a dict"
        raise DataError(what, where=name, fix='Give each example as one dict, {"prompt": ..., ...}')
    try:
        return {str(key): _plain(value) for key, value in row.items()}
    except ValueError as error:
        what = f"row {number} holds {error}, which JSON does not know"
        raise DataError(what, where=name, fix="Write the value as text") from error
    except RecursionError as error:
        raise DataError(f"row {number} is nested too deeply", where=name, fix="Flatten it") from error


def _plain(value: Any) -> Any:
    """A value as JSON knows it. Raises `ValueError`, whose text names it, where there is none."""
    kind = type(value).__name__
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return int(value)
    if kind in _MISSING or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float):
        if math.isinf(value):
            raise ValueError(show(float(value)))
        return float(value)
    if isinstance(value, _TIMES):
        return value.isoformat()
    if kind in _NUMPY_TIMES:
        return None if str(value) == "NaT" else str(value)
    if isinstance(value, _AS_TEXT):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # a number or an array of NumPy
        return _plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_plain(item) for item in value]
    raise ValueError(f"{show(value)}, a {kind}")


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("half of a character (a lone surrogate)") from None
    return str(value)


def _no_rows(data: object) -> UsageError:
    if isinstance(data, Mapping):
        keys = ", ".join(show(key) for key in list(data)[:5])
        what = f"the data is a mapping of {keys}, not rows"
        return UsageError(what, fix="Give one of its parts, such as data['train'], or a list of dicts")
    return UsageError(f"the data is {show(data)}, a {type(data).__name__}, which holds no rows", fix=_FIX)
