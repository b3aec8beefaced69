"""An Excel workbook -> a table: its first sheet that holds rows. Needs openpyxl, which is an extra."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from rung.data.refusals import refuse
from rung.data.strict_json import show
from rung.data.tables import Table, read_table
from rung.errors import DataError

MAX_ROWS = 1 << 20  # of a sheet, Excel's own limit
MAX_CELLS = 50_000_000


def excel_table(path: Path, content: bytes, is_name: Callable[[str], bool], header: bool | None) -> Table:
    """The first sheet that holds rows, as a table. Raises `DataError`; see `read_table` for the others."""
    try:
        import openpyxl
    except ImportError:
        fix = "pip install openpyxl, or save it as CSV"
        refuse(path, "is an Excel file, for which rung needs openpyxl", fix)
    try:
        sizes = sum(info.file_size for info in zipfile.ZipFile(io.BytesIO(content)).infolist())
        if sizes > 1 << 28:
            refuse(path, "unpacks to more than 256 MiB of Excel", "Save it as CSV")
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheets = {sheet.title: _sheet(sheet) for sheet in book.worksheets}
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001  openpyxl raises whatever its XML parser does
        refuse(path, f"cannot be read as Excel ({type(error).__name__}: {error})", "Save it again, or as CSV")
    full = {title: rows for title, rows in sheets.items() if rows}
    if not full:
        refuse(path, "holds no rows in any of its sheets")
    title, cells = next(iter(full.items()))
    buffer = io.StringIO()
    csv.writer(buffer).writerows(cells)
    table = read_table(buffer.getvalue(), lambda name: True if header else is_name(name), header)
    if len(full) > 1:
        others = ", ".join(show(one) for one in list(full)[1:5])
        table.notes.append(f"read from the sheet {show(title)}; {others} not read")
    return table


def _sheet(sheet: Any) -> list[list[str]]:
    """The cells of a sheet as text: its rows that are not empty, all of the same length.

    The size that the sheet gives itself is not believed: a small file can claim 10^10 empty cells.
    """
    sheet.reset_dimensions()
    rows = []
    for row in islice(sheet.iter_rows(values_only=True), MAX_ROWS):
        cells = ["" if cell is None else str(cell) for cell in row]
        while cells and not cells[-1].strip():
            cells.pop()
        if cells:
            rows.append(cells)
    width = max(map(len, rows), default=0)
    if len(rows) * width > MAX_CELLS:
        raise ValueError(f"more than {MAX_CELLS:,} cells")
    return [cells + [""] * (width - len(cells)) for cells in rows]
