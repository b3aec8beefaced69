"""The report of a run: what was recorded on disk, as a table for the terminal and as one HTML page."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rung.report.html import write_report
    from rung.report.text import print_view
    from rung.report.view import View, load_view

__all__ = ["View", "load_view", "print_view", "write_report"]

_HOMES = {"View": "view", "load_view": "view", "print_view": "text", "write_report": "html"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
