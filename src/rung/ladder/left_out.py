"""Rows of a file that are neither learned nor measured: which ones, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

SHOWN = 5  # rows named in a line; the rest is counted


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One row that is left out."""

    file: str
    row: int
    why: str  # without the row's own numbers, so that equal reasons can be counted
    part: str = ""  # train, dev or test; "" where it was left out while reading


def grouped(rows: Iterable[LeftOut]) -> list[dict[str, Any]]:
    """Equal reasons once: file, why, and the rows it is true of; as it is kept in run.json."""
    groups: dict[tuple[str, str], list[int]] = {}
    for one in rows:
        groups.setdefault((one.file, one.why), []).append(one.row)
    return [{"file": file, "why": why, "rows": sorted(found)} for (file, why), found in groups.items()]


def lines(rows: Sequence[LeftOut], file: str, fate: str = "left out") -> list[str]:
    """A line for each reason, `fate` in it; rows of another file than `file` carry its name."""
    found = []
    for group in grouped(rows):
        places = group["rows"]
        other = f" of {group['file']}" if group["file"] != file else ""
        more = f" and {len(places) - SHOWN:,} more" if len(places) > SHOWN else ""
        which = f"row{'s' * (len(places) > 1)} {', '.join(map(str, places[:SHOWN]))}{more}"
        found.append(f"{counted(len(places))}{other} {fate}: {group['why']} ({which})")
    return found


def counted(rows: int) -> str:
    """``1 row`` or ``1,200 rows``."""
    return "1 row" if rows == 1 else f"{rows:,} rows"
