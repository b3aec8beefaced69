"""The fields of JSON values, counted and compared."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Any

Fields = Counter[tuple[tuple[str, ...], str]]


def fields_of(value: Mapping[str, Any]) -> Fields:
    """An object as (path, value) pairs: the order of keys and of list items does not count.

    Strings are compared after NFC and without surrounding space, case counts; 5 and 5.0 are equal; null
    is a value, not an absent field; an empty list or object is one.
    """
    found: Fields = Counter()
    todo: list[tuple[tuple[str, ...], Any]] = [((key,), item) for key, item in value.items()]
    while todo:
        path, item = todo.pop()
        if isinstance(item, dict) and item:
            todo += [((*path, key), inner) for key, inner in item.items()]
        elif isinstance(item, list) and item:
            todo += [((*path, "[]"), inner) for inner in item]
        else:
            found[path, plain(item)] += 1
    return found


def counts_of(wanted: Fields, found: Fields) -> tuple[int, int, int]:
    """Fields that are right, too many, and missing."""
    right = (wanted & found).total()
    return right, found.total() - right, wanted.total() - right


def f1_of(right: int, extra: int, missing: int) -> float:
    """F1 of counts; 1 where nothing was asked for and nothing said."""
    return 2 * right / (2 * right + extra + missing) if right + extra + missing else 1.0


def plain(value: Any) -> str:
    """JSON text that is equal for values that count as equal."""
    return json.dumps(_tidy(value), sort_keys=True)


def _tidy(value: Any) -> Any:
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value).strip()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _tidy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    return value
