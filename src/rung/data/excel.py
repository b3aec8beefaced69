"""An Excel workbook -> a table: its first sheet that holds rows. Needs openpyxl, which is an extra."""

from __future__ import annotations

import csv
import io
import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from rung.border import foreign
from rung.data.refusals import refuse
from rung.data.strict_json import RowError, show
from rung.data.tables import MAX_CELLS, MAX_COLUMNS, NotATable, Table, read_table
from rung.errors import DataError

MAX_ROWS = 1 << 20  # of a sheet, Excel's own limit


def excel_table(path: Path, content: bytes, is_name: Callable[[str], bool], header: bool | None) -> Table:
    """The first sheet that holds rows, as a table. Raises `DataError`; see `read_table` for the others."""
    try:
        import openpyxl
    except ImportError:
        fix = "pip install openpyxl, or save it as CSV"
        refuse(path, "is an Excel file, for which rung needs openpyxl", fix)
    with warnings.catch_warnings(), foreign(partial(_damaged, path)):
        warnings.simplefilter("ignore")  # openpyxl warns of what it leaves out
        sizes = sum(info.file_size for info in zipfile.ZipFile(io.BytesIO(content)).infolist())
        if sizes > 1 << 28:
            refuse(path, "unpacks to more than 256 MiB of Excel", "Save it as CSV")
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheets, left = {}, MAX_CELLS
        for sheet in book.worksheets:
            sheets[sheet.title], left = _sheet(sheet, left)
    full = {title: rows for title, rows in sheets.items() if rows}
    if not full:
        refuse(path, "holds no rows in any of its sheets")
    title, cells = next(iter(full.items()))
    buffer = io.StringIO()
    csv.writer(buffer).writerows(cells)
    try:
        table = read_table(buffer.getvalue(), lambda name: True if header else is_name(name), header)
    except NotATable:
        refuse(path, f"holds no table in its sheet {show(title)}", "Give each column its own name in row 1")
    except RowError as error:
        refuse(path, str(error), error.fix)
    if len(full) > 1:
        others = ", ".join(show(one) for one in list(full)[1:5])
        table.notes.append(f"read from the sheet {show(title)}; {others} not read")
    return table


def _damaged(path: Path, text: str) -> DataError:
    return DataError(f"cannot be read as Excel ({text})", where=str(path), fix="Save it again, or as CSV")


def _sheet(sheet: Any, most: int) -> tuple[list[list[str]], int]:
    """The cells of a sheet as text: its rows that are not empty, all of the same length; `most` less them.

    The size that the sheet gives itself is not believed: a small file can claim 10^10 empty cells. Columns
    past the first one too many are left out. Raises `ValueError` for more than `most` cells,
    empty ones before and between others counted.
    """
    sheet.reset_dimensions()
    rows, left = [], most
    for row in islice(sheet.iter_rows(values_only=True), MAX_ROWS):
        left -= len(row)
        if left < 0:
            raise ValueError(f"more than {MAX_CELLS:,} cells")
        cells = ["" if cell is None else str(cell) for cell in row[: MAX_COLUMNS + 1]]
        while cells and not cells[-1].strip():
            cells.pop()
        if cells:
            rows.append(cells)
    width = max(map(len, rows), default=0)
    return [cells + [""] * (width - len(cells)) for cells in rows], left
