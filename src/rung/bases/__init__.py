"""Bases: pretrained models, where they come from, and how they are checked and loaded.

Names are found on first use, so that importing this package does not import torch. The loaders share
their names with their modules: ``from rung.bases.load import load``, ``from rung.bases.tiny import tiny``.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Base": "rung.bases.base",
    "CATALOG": "rung.bases.catalog",
    "cache_dir": "rung.bases.catalog",
    "fetch": "rung.bases.catalog",
    "folder_of": "rung.bases.catalog",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
