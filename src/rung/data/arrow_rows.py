"""Parquet and Arrow files -> rows, with the class names that the datasets library keeps in their metadata."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rung.border import foreign
from rung.data.json_rows import Numbered
from rung.data.opening import MAX_BYTES
from rung.data.refusals import refuse, refuse_many
from rung.data.strict_json import show
from rung.data.tables import MAX_CELLS, MAX_COLUMNS
from rung.errors import DataError

_ROWS = 1024  # that become Python values at a time
_CODED_ROWS = 16 * _ROWS  # that are read as codes at a time, with all that the codes stand for


def parquet_rows(path: Path, content: bytes | None, most: int) -> dict[str, Any]:
    """Rows, columns, schema and class names of a Parquet file of at most `most` rows.

    Read from the file at `path` where there is no `content`. Raises `DataError`.
    """
    import pyarrow.parquet

    source = path if content is None else io.BytesIO(content)
    with foreign(partial(_broken, path, "Parquet", 0)):
        table = pyarrow.parquet.ParquetFile(source)
        count, kinds = table.metadata.num_rows, table.schema
        leaves = [kinds.column(i) for i in range(len(kinds))] if len(kinds) <= MAX_COLUMNS else []
        texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
        # texts stay codes and a dictionary until it is known how large they are
        coded = pyarrow.parquet.ParquetFile(source, read_dictionary=texts)
        schema = table.schema_arrow
    if count > most:
        refuse_many(path, most)
    if content is not None and count * len(kinds) > MAX_CELLS:
        refuse(path, f"has more than {MAX_CELLS:,} cells", "Take a part of the rows or columns")
    return _batches(
        path,
        "Parquet",
        schema,
        lambda: _by_groups(coded, _ROWS if content is None else _CODED_ROWS),
        most,
        content is None,
    )


def _by_groups(table: Any, rows: int) -> Iterator[Any]:
    """Batches of a Parquet file; none has rows of two row groups, each of which has its own codes."""
    for group in range(table.num_row_groups):
        yield from table.iter_batches(batch_size=rows, row_groups=[group])


def arrow_rows(path: Path, content: bytes, most: int) -> dict[str, Any]:
    """Rows, columns, schema and class names of an Arrow file or stream of at most `most` rows.

    Raises `DataError`.
    """
    import pyarrow

    whole = content.startswith(b"ARROW1")
    with foreign(partial(_broken, path, "Arrow", 0)):
        reader = (pyarrow.ipc.open_file if whole else pyarrow.ipc.open_stream)(io.BytesIO(content))
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
    with foreign(partial(_broken, path, kind, 0)):
        names = list(schema.names)
    fields = sum(map(_fields, schema.types)) if len(names) <= MAX_COLUMNS else len(names)
    if fields > MAX_COLUMNS:
        refuse(path, f"has {fields:,} columns, nested ones counted; {MAX_COLUMNS:,} is the most")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        refuse(path, f"has two columns named {show(twice)}", "Give every column its own name")

    def rows() -> Numbered:
        number = size = 0
        with foreign(lambda text: _broken(path, kind, number, text)):
            for batch in batches():
                if number + batch.num_rows > most:
                    refuse_many(path, most)
                if not streamed and (number + batch.num_rows) * fields > MAX_CELLS:
                    refuse(path, f"has more than {MAX_CELLS:,} cells", "Take a part of the rows or columns")
                batch.validate(full=True)  # places in a damaged file can lie outside the memory
                size = (0 if streamed else size) + sum(map(_bytes, batch.columns))
                if size > MAX_BYTES:
                    what = f"unpacks to more than {MAX_BYTES >> 30} GiB of rows"
                    refuse(path, what, "Take a part of the rows")
                for start in range(0, batch.num_rows, _ROWS):
                    cells = [_decoded(column.slice(start, _ROWS)).to_pylist() for column in batch.columns]
                    for row in zip(*cells, strict=True):
                        number += 1
                        yield number, dict(zip(names, row, strict=True))

    known = {"columns": tuple(names), "class_names": class_names(schema.metadata), "schema": schema}
    return {"rows": rows(), **known}


def _fields(kind: Any) -> int:
    """How many columns a type stands for; that of a struct's fields, or of a list's items, for each."""
    return sum(_fields(kind.field(i).type) for i in range(kind.num_fields)) or 1


def _bytes(column: Any) -> int:
    """What the values of a column take, each counted where it stands again."""
    import pyarrow.compute

    kind = column.type
    if _is_coded(kind):
        sizes = _sizes(column.dictionary)
        held = 0 if sizes is None else pyarrow.compute.sum(sizes.take(column.indices)).as_py() or 0
        return int(held) + int(column.indices.nbytes)
    if pyarrow.types.is_struct(kind):
        return sum(map(_bytes, column.flatten()))
    if _is_list(kind):
        return _bytes(column.flatten()) + 8 * len(column)
    return int(column.nbytes)


def _sizes(values: Any) -> Any:
    """The bytes of each value of a dictionary; None where all are small."""
    import pyarrow
    import pyarrow.compute

    if pyarrow.types.is_nested(values.type):
        return pyarrow.array([_bytes(values.slice(i, 1)) for i in range(len(values))], pyarrow.int64())
    if pyarrow.types.is_primitive(values.type):
        return None
    return pyarrow.compute.binary_length(values)


def _is_coded(kind: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_dictionary(kind))


def _is_list(kind: Any) -> bool:
    import pyarrow

    types = pyarrow.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _decoded(column: Any) -> Any:
    """A column with its values in the place of their codes, where Arrow can do that by itself."""
    import pyarrow

    kind = _plain(column.type)
    try:
        return column if kind == column.type else column.cast(kind)
    except pyarrow.ArrowNotImplementedError:
        return column


def _plain(kind: Any) -> Any:
    """A type without dictionaries."""
    import pyarrow

    if _is_coded(kind):
        return _plain(kind.value_type)
    if pyarrow.types.is_struct(kind):
        return pyarrow.struct(
            [kind.field(i).with_type(_plain(kind.field(i).type)) for i in range(kind.num_fields)]
        )
    if pyarrow.types.is_list(kind):
        return pyarrow.list_(kind.value_field.with_type(_plain(kind.value_type)))
    return kind


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


def _broken(path: Path, kind: str, number: int, text: str) -> DataError:
    what = f"cannot be read as {kind} after row {number} ({text})"
    return DataError(what, where=str(path), fix="Write the file again")
