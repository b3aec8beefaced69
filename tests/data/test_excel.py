"""The first sheet that holds rows is the table."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from rung.data.excel import excel_table
from rung.data.names import is_name
from rung.errors import DataError

PATH = Path("rows.xlsx")
ROWS = [["text", "label"], ['say "a, b"\nand c', 1], ["d", None]]


def workbook(**sheets: Sequence[Sequence[Any]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def test_cells_become_text() -> None:
    table = excel_table(PATH, workbook(data=[[], *ROWS]), is_name, None)
    assert table.columns == ("text", "label")
    assert [row for _, row in table.rows] == [
        {"text": 'say "a, b"\nand c', "label": "1"},
        {"text": "d", "label": ""},
    ]
    assert table.notes == []


def test_the_first_full_sheet_is_read_and_the_others_are_named() -> None:
    table = excel_table(PATH, workbook(cover=[], data=ROWS, more=ROWS), is_name, None)
    assert table.notes == ["read from the sheet 'data'; 'more' not read"]


@pytest.mark.parametrize(
    ("header", "columns"), [(None, ("1", "2")), (True, ("a b", "x")), (False, ("1", "2"))]
)
def test_the_header(header: bool | None, columns: tuple[str, ...]) -> None:
    rows = [["a b", "x"], ["c d", "x"], ["e f", "y"]]
    assert excel_table(PATH, workbook(data=rows), is_name, header).columns == columns


def test_cells_are_counted_before_they_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rung.data.excel.MAX_CELLS", 20)
    wide = [[None] * 9 + ["x"], ["y"]]
    with pytest.raises(DataError, match=r"rows\.xlsx: cannot be read as Excel \(more than 20 cells\)"):
        excel_table(PATH, workbook(data=wide, more=[*wide, ["z"]]), is_name, None)
    monkeypatch.setattr("rung.data.excel.MAX_COLUMNS", 4)
    with pytest.raises(DataError, match=r"rows\.xlsx: has 5 columns|no table in its sheet 'data'"):
        excel_table(PATH, workbook(data=wide), is_name, None)


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([["text", "text"], ["a", "b"]], "has two columns named 'text'"),
        ([[f"c{i}" for i in range(1200)]] * 3, r"has 1,001 columns; 1,000 is the most"),
    ],
)
def test_a_sheet_that_is_no_table(rows: list[list[Any]], what: str) -> None:
    with pytest.raises(DataError, match=what):
        excel_table(PATH, workbook(data=rows), is_name, None)


def test_what_is_wrong_is_one_line_and_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    book = workbook(data=ROWS)
    with zipfile.ZipFile(io.BytesIO(book)) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    held["xl/workbook.xml"] = held["xl/workbook.xml"].replace(b"<sheets>", b'<sheets x="1"><sheet/>')
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in held.items():
            archive.writestr(name, content)
    with pytest.raises(DataError) as caught:
        excel_table(PATH, buffer.getvalue(), is_name, None)
    assert "\n" not in str(caught.value)
    assert not recwarn.list


def test_what_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="holds no rows in any of its sheets"):
        excel_table(PATH, workbook(data=[], more=[[" "]]), is_name, None)
    with pytest.raises(DataError, match="cannot be read as Excel"):
        excel_table(PATH, workbook(data=ROWS)[:300], is_name, None)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(
        DataError, match=r"for which rung needs openpyxl\. pip install openpyxl, or save it as CSV"
    ):
        excel_table(PATH, workbook(data=ROWS), is_name, None)
