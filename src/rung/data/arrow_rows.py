"""Parquet and Arrow files -> rows, with the class names that the datasets library keeps in their metadata."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from rung.data.json_rows import Numbered
from rung.data.opening import MAX_BYTES
from rung.data.refusals import refuse, refuse_many
from rung.data.strict_json import show
from rung.data.tables import MAX_COLUMNS

_ROWS = 1024  # that become Python values at a time


def parquet_rows(path: Path, content: bytes | None, most: int) -> dict[str, Any]:
    """Rows, columns, schema and class names of a Parquet file of at most `most` rows.

    Read from the file at `path` where there is no `content`. Raises `DataError`.
    """
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path if content is None else io.BytesIO(content))
        count = table.metadata.num_rows
    except _arrow_errors() as error:
        _broken(path, "Parquet", error, 0)
    if count > most:
        refuse_many(path, most)
    return _batches(
        path,
        "Parquet",
        table.schema_arrow,
        lambda: table.iter_batches(batch_size=_ROWS),
        most,
        content is None,
    )


def arrow_rows(path: Path, content: bytes, most: int) -> dict[str, Any]:
    """Rows, columns, schema and class names of an Arrow file or stream of at most `most` rows.

    Raises `DataError`.
    """
    import pyarrow

    whole = content.startswith(b"ARROW1")
    try:
        reader = (pyarrow.ipc.open_file if whole else pyarrow.ipc.open_stream)(io.BytesIO(content))
    except _arrow_errors() as error:
        _broken(path, "Arrow", error, 0)
    batches = (reader.get_batch(i) for i in range(reader.num_record_batches)) if whole else reader
    return _batches(path, "Arrow", reader.schema, lambda: batches, most)


def _batches(
    path: Path,
    kind: str,
    schema: Any,
    batches: Callable[[], Iterable[Any]],
    most: int,
    streamed: bool = False,
) -> dict[str, Any]:
    names = list(schema.names)
    fields = sum(map(_fields, schema.types)) if len(names) <= MAX_COLUMNS else len(names)
    if fields > MAX_COLUMNS:
        refuse(path, f"has {fields:,} columns, nested ones counted; {MAX_COLUMNS:,} is the most")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        refuse(path, f"has two columns named {show(twice)}", "Give every column its own name")

    def rows() -> Numbered:
        number = size = 0
        try:
            for batch in batches():
                if number + batch.num_rows > most:
                    refuse_many(path, most)
                for start in range(0, batch.num_rows, _ROWS):
                    part = batch.slice(start, _ROWS)
                    size = (0 if streamed else size) + sum(map(_bytes, part.columns))
                    if size > MAX_BYTES:
                        what = f"unpacks to more than {MAX_BYTES >> 30} GiB of rows"
                        refuse(path, what, "Take a part of the rows")
                    for row in part.to_pylist():
                        number += 1
                        yield number, row
        except _arrow_errors() as error:
            _broken(path, kind, error, number)

    known = {"columns": tuple(names), "class_names": class_names(schema.metadata), "schema": schema}
    return {"rows": rows(), **known}


def _fields(kind: Any) -> int:
    """How many columns a type stands for; that of a struct's fields, or of a list's items, for each."""
    return sum(_fields(kind.field(i).type) for i in range(kind.num_fields)) or 1


def _bytes(column: Any) -> int:
    """What the values of a column take, each counted where it stands again."""
    import pyarrow
    import pyarrow.compute

    if pyarrow.types.is_dictionary(column.type):
        values = column.dictionary
        if not pyarrow.types.is_string(values.type) or not len(values):
            return int(column.nbytes)
        return int(pyarrow.compute.max(pyarrow.compute.binary_length(values)).as_py() or 0) * len(column)
    return int(column.nbytes)


def class_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, tuple[str, ...]]:
    """Column -> names of its numbers, from what the datasets library keeps in an Arrow schema's metadata."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        found = {name: _names_in(feature) for name, feature in features.items()}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
    return {name: names for name, names in found.items() if names}


def _names_in(feature: Any) -> tuple[str, ...]:
    while isinstance(feature, dict | list):
        if isinstance(feature, list):
            feature = feature[0] if feature else None
        elif isinstance(feature.get("names"), list):
            return tuple(map(str, feature["names"]))
        else:
            feature = feature.get("feature")
    return ()


def _arrow_errors() -> tuple[type[Exception], ...]:
    import pyarrow

    return (pyarrow.ArrowException, UnicodeDecodeError, OSError, ValueError)


def _broken(path: Path, kind: str, error: Exception, number: int) -> NoReturn:
    reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    refuse(path, f"cannot be read as {kind} after row {number} ({reason})", "Write the file again")
