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
    """The cells of a sheet as text, from its first row that is not empty."""
    rows = [["" if cell is None else str(cell) for cell in row] for row in islice(sheet.values, 1_000_000)]
    return [row for row in rows if any(cell.strip() for cell in row)]
