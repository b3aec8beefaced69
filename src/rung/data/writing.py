"""Rows with more columns -> CSV, TSV, JSON lines or Parquet; a batch at a time."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from rung.data.strict_json import Written
from rung.errors import UsageError

Cells = Mapping[str, Any]
ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_NUMBERS = {frozenset({bool}): "bool_", frozenset({int}): "int64"}  # types of a column -> pyarrow's type


class Writer(Protocol):
    """Writes rows, each with all columns or some of them."""

    def write(self, rows: Sequence[Cells]) -> None: ...

    def close(self) -> None: ...


def require_ending(path: Path) -> None:
    """Raises `UsageError` where rows cannot be written to a file of this name."""
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(
            f"cannot write {path.suffix or 'a file without an ending'}",
            where=str(path),
            fix=f"Give a name that ends in {', '.join(ENDINGS)}",
        )


def writer_for(
    path: Path, target: Path, columns: Sequence[str], kinds: Mapping[str, set[type[Any]]], schema: Any = None
) -> Writer:
    """A writer to `path`, in the format that the name of `target` says.

    `kinds` are the types of the values of each column; `schema` is that of the file that some columns come
    from, whose types are kept in Parquet.
    """
    suffix = target.suffix.lower()
    if suffix == ".parquet":
        return _Parquet(path, columns, kinds, schema)
    file = path.open("w", encoding="utf-8", newline="")
    if suffix in (".csv", ".tsv"):
        return Table(file, columns, "\t" if suffix == ".tsv" else ",")
    return Lines(file)


class Lines:
    """JSON lines."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, rows: Sequence[Cells]) -> None:
        for row in rows:
            self._file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class Table:
    """CSV or TSV; what is no text, number or truth value is JSON, nothing is an empty cell."""

    def __init__(self, file: IO[str], columns: Sequence[str], mark: str = ",") -> None:
        self._file = file
        self._columns = columns
        self._writer = csv.writer(file, delimiter=mark, lineterminator="\n")
        self._writer.writerow(columns)

    def write(self, rows: Sequence[Cells]) -> None:
        self._writer.writerows([_text(row.get(name)) for name in self._columns] for row in rows)
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class _Parquet:
    """Parquet; columns that come from a Parquet or Arrow file keep their types."""

    def __init__(
        self, path: Path, columns: Sequence[str], kinds: Mapping[str, set[type[Any]]], schema: Any
    ) -> None:
        import pyarrow
        import pyarrow.parquet

        known = {} if schema is None else {field.name: field for field in schema}
        fields = [known.get(name) or pyarrow.field(name, _type(kinds.get(name, set()))) for name in columns]
        metadata = schema.metadata if schema is not None else None
        self._schema = pyarrow.schema(fields, metadata=metadata)
        self._text = {
            name
            for name in columns
            if name not in known and self._schema.field(name).type == pyarrow.string()
        }
        self._writer = pyarrow.parquet.ParquetWriter(path, self._schema)

    def write(self, rows: Sequence[Cells]) -> None:
        import pyarrow

        cells = [{name: self._cell(name, row.get(name)) for name in self._schema.names} for row in rows]
        self._writer.write_table(pyarrow.Table.from_pylist(cells, schema=self._schema))

    def close(self) -> None:
        self._writer.close()

    def _cell(self, name: str, value: Any) -> Any:
        return _text(value) if value is not None and name in self._text else value


def _text(value: Any) -> str:
    """A cell as text: nothing is empty, lists and objects are JSON, numbers are as the file wrote them."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, Written):
        return value.text
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _type(kinds: set[type[Any]]) -> Any:
    """pyarrow's type for values of these types: a number or truth value where all are, else text."""
    import pyarrow

    if frozenset(kinds) in _NUMBERS:
        return getattr(pyarrow, _NUMBERS[frozenset(kinds)])()
    if kinds and all(issubclass(kind, int | float) and kind is not bool for kind in kinds):
        return pyarrow.float64()
    return pyarrow.string()
