"""Sheets of columns for the tests of parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rung.config import Columns
from rung.data.facts import facts
from rung.data.parts import Sheet

N = 12
ASKED = [f"where is the parcel number {n} of mine" for n in range(N)]
SAID = [f"the parcel number {n} left our store" for n in range(N)]
LABELS = ["late", "lost", "torn"] * (N // 3)
NUMBERS = list(range(1, N + 1))


def sheet(columns: dict[str, Sequence[Any]], said: Columns | None = None, table: bool = True) -> Sheet:
    """A sheet with these columns and their values; none has its part yet."""
    found = [facts(name, place, values) for place, (name, values) in enumerate(columns.items())]
    return Sheet(found, said or Columns(), columns, "a/rows.csv", "rows.csv", table)
