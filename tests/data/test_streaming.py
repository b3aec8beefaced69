"""Large files are read row by row, with the rows that the whole file has."""

from __future__ import annotations

import csv
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from rung.data import names, streaming
from rung.data.reading import RowFile, open_rows
from rung.data.streaming import open_stream
from rung.data.strict_json import RowError

ROWS = [
    {"id": str(n), "text": f'Wörd {n}, "quoted"\nand a second line {"x" * (n % 50)}', "label": "ab"[n % 2]}
    for n in range(400)
]


@pytest.fixture(autouse=True)
def _small_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "HEAD", 4000)
    monkeypatch.setattr(streaming, "_BLOCK", 4000)


def write(path: Path, rows: list[dict[str, Any]], mark: str = ",") -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=mark)
            writer.writeheader()
            writer.writerows(rows)
    return path


def both(path: Path, header: bool | None = None) -> tuple[RowFile, RowFile]:
    return open_stream(path, names.is_name, header), open_rows(path, names.is_name, header)


def rows(file: RowFile) -> list[Any]:
    return [(n, str(row) if isinstance(row, RowError) else row) for n, row in file.rows]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.psv", "a.jsonl", "a.parquet"])
def test_the_rows_are_those_of_the_whole_file(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, ROWS, {"a.tsv": "\t", "a.psv": "|"}.get(name, ","))
    stream, whole = both(path)
    assert (stream.sha256, stream.kind, stream.columns) == ("", whole.kind, whole.columns)
    found = rows(stream)
    assert found == rows(whole)
    assert [row["text"] for _, row in found] == [row["text"] for row in ROWS]


def test_plain_quotes_and_a_missing_header_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("".join(f'a "word" {n}" of many in here\tlabel {n % 3}\n' for n in range(400)))
    stream, whole = both(path, False)
    assert (stream.sha256, stream.header, stream.columns) == ("", False, ("1", "2"))
    assert rows(stream) == rows(whole)


def test_bad_rows_stand_in_their_places(tmp_path: Path) -> None:
    table = write(tmp_path / "a.csv", ROWS)
    with table.open("a") as file:
        file.write("401,too few\n402,fine,a\n")
    lines = write(tmp_path / "a.jsonl", ROWS)
    with lines.open("a") as file:
        file.write('{"text": \n[1]\n\n{"text": "fine"}\n')
    for path in (table, lines):
        stream, whole = both(path)
        assert stream.sha256 == ""
        found = rows(stream)
        assert found == rows(whole)
        assert isinstance(found[400][1], str)
        assert isinstance(found[-1][1], dict)


def test_a_quote_that_never_ends_is_one_bad_row_at_the_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ROWS)
    with path.open("a") as file:
        file.write('401,"open,a\n402,fine,a\n')
    found = rows(open_stream(path, names.is_name))
    assert len(found) == 401
    assert "is not valid CSV" in found[-1][1]


@pytest.mark.parametrize("kind", ["json", "latin", "gzip", "comment", "conll"])
def test_what_shows_only_as_a_whole_is_read_whole(tmp_path: Path, kind: str) -> None:
    import gzip

    path = write(tmp_path / "a.csv", ROWS)
    if kind == "json":
        path.write_text(json.dumps(ROWS))
    elif kind == "latin":
        path.write_bytes(path.read_text(encoding="utf-8").encode("cp1252"))
    elif kind == "gzip":
        path.write_bytes(gzip.compress(path.read_bytes() * 50))
    elif kind == "comment":
        path.write_text("# made by hand\n" + path.read_text())
    elif kind == "conll":
        path.write_text("Ada B-PER\nlives O\n\n" * 500)
    stream, whole = both(path)
    assert stream.sha256 == whole.sha256 != ""
    assert rows(stream) == rows(whole)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, name: str) -> None:
    def peak(times: int) -> int:
        path = write(tmp_path / f"{times}-{name}", ROWS * times)
        tracemalloc.start()
        count = sum(1 for _ in open_stream(path, names.is_name).rows)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == len(ROWS) * times
        return found

    assert peak(20) < 1.3 * peak(4) + 100_000
