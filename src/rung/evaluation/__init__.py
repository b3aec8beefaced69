"""What a model answered, turned into numbers: task, parsing, metrics, intervals, forgetting.

The names below are imported when first used, so ``import rung.evaluation`` stays cheap.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "METRICS": "metrics",
    "grade": "metrics",
    "measures": "metrics",
    "tidy": "tasks",
    "understand": "tasks",
    "unreadable": "tasks",
}
__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
