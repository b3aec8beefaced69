"""Any table of texts comes back equal, whatever file it is written to."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from rung.data import names
from rung.data.reading import open_rows

Table = list[dict[str, str]]
COLUMNS = ("prompt", "completion")
PROPERTY = settings(
    deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)


def tables(*texts: st.SearchStrategy[str]) -> st.SearchStrategy[Table]:
    """Tables of at least one row; none repeats the header, which is taken for a header."""
    row = st.fixed_dictionaries({column: st.one_of(*texts) for column in COLUMNS})
    return st.lists(row.filter(lambda row: tuple(row.values()) != COLUMNS), min_size=1, max_size=8)


ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
MARKS = st.text(" ,;|\t\"\n\r\\'#{[:/-ab1", max_size=15)
TRICKY = st.sampled_from(
    [
        *("nlu:\n- intent: a", "## intent:a\n- b", "a: 1\nb: 2\nc: 3\nd: 4", "version: 1", "sep=;", "# a"),
        *(' "quoted"', 'say "no, thanks"', "a, b", "prompt", "null", "[1]", '{"a": 1}', "// a", "---"),
        *("__label__a b", "EU B-ORG\nis O", "<html>", "\ufeff", "\x1a", "\u2028", "=1+1", "\\N", '\\"'),
    ]
)
WESTERN = st.text("abcdefgh xyz,;|\t\"'\n\r", max_size=12)
ACCENTS = st.tuples(WESTERN, st.sampled_from("éüñçß€"), st.sampled_from("abc ."), WESTERN).map("".join)


def written(rows: Table, delimiter: str) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, COLUMNS, delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def read(path: Path, content: bytes) -> Table:
    path.write_bytes(content)
    return [row for _, row in open_rows(path, names.is_name)]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows") / "rows"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", list(",;\t|"))
@PROPERTY
@given(rows=tables(ANY, MARKS, TRICKY))
@example(rows=[{"prompt": "a", "completion": "b: 1\n" * 50}])
@example(rows=[{"prompt": "", "completion": ""}])
def test_csv(path: Path, delimiter: str, encoding: str, rows: Table) -> None:
    assert read(path, written(rows, delimiter).encode(encoding)) == rows


@pytest.mark.parametrize("delimiter", list(",;\t|"))
@PROPERTY
@given(rows=tables(WESTERN, ACCENTS))
def test_csv_in_windows_1252(path: Path, delimiter: str, rows: Table) -> None:
    content = written(rows, delimiter).encode("cp1252")
    assume(not content.isascii())
    assert read(path, content) == rows


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("ascii", [True, False])
@PROPERTY
@given(rows=tables(ANY, MARKS, TRICKY))
def test_json(path: Path, ascii: bool, indent: int | None, rows: Table) -> None:
    texts = [json.dumps(row, ensure_ascii=ascii, indent=indent) for row in rows]
    assert read(path, "\n".join(texts).encode()) == rows
    assert read(path, json.dumps(rows, ensure_ascii=ascii, indent=indent).encode()) == rows
    assert read(path, json.dumps({"data": rows}, ensure_ascii=ascii, indent=indent).encode()) == rows


@PROPERTY
@given(rows=tables(ANY, MARKS, TRICKY))
def test_parquet_arrow_and_gzip(path: Path, rows: Table) -> None:
    table = pa.Table.from_pylist(rows)
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    assert read(path, buffer.getvalue()) == rows
    buffer = io.BytesIO()
    with pa.ipc.new_file(buffer, table.schema) as writer:
        writer.write_table(table)
    assert read(path, buffer.getvalue()) == rows
    assert read(path, gzip.compress(written(rows, ",").encode(), mtime=0)) == rows
