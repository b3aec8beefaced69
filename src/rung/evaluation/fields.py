"""The fields of JSON values, paired and compared.

Keys are paired by name.  Items of a list have no order: each is paired as a whole with the item it shares
most fields with, by the best assignment of all, and fields are counted inside pairs only.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

ABSENT: Final = object()
_MOST_PAIRS = 2_500  # pairs of items that are compared; longer lists are paired in order


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a target, of an answer, or of both. `path` is such as ``lines[].price``."""

    path: str
    wanted: Any = ABSENT
    got: Any = ABSENT

    @property
    def right(self) -> bool:
        return self.wanted is not ABSENT and self.got is not ABSENT and plain(self.wanted) == plain(self.got)

    def as_json(self) -> dict[str, Any]:
        """``path``, ``right`` and those of ``wanted`` and ``got`` that are there."""
        sides = {"wanted": self.wanted, "got": self.got}
        there = {name: value for name, value in sides.items() if value is not ABSENT}
        return {"path": self.path, **there, "right": self.right}


def compare(wanted: Any, got: Any) -> list[Field]:
    """The fields of both values. The top itself is no field: an empty object has none.

    Strings are compared after NFC and without surrounding space, case counts; 5 and 5.0 are equal; null
    is a value, not an absent field; an empty list or object inside is one.
    """
    return list(_compared("", wanted, got))


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of one value as (path, value)."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, _inside(path, key))
    elif isinstance(value, list) and value:
        for item in value:
            yield from leaves(item, f"{path}[]")
    elif path:
        yield path, value


def counts_of(fields: Sequence[Field]) -> tuple[int, int, int]:
    """Counts of fields that are right, extra and missing; a wrong value counts as extra and as missing."""
    right = sum(field.right for field in fields)
    extra = sum(field.got is not ABSENT for field in fields) - right
    return right, extra, sum(field.wanted is not ABSENT for field in fields) - right


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


def _inside(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _is_full(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(value)


def _compared(path: str, wanted: Any, got: Any) -> Iterator[Field]:
    if isinstance(wanted, dict) and isinstance(got, dict) and wanted and got:
        for key in {**wanted, **got}:
            yield from _compared(_inside(path, key), wanted.get(key, ABSENT), got.get(key, ABSENT))
    elif isinstance(wanted, list) and isinstance(got, list) and wanted and got:
        for one, other in _paired(path, wanted, got):
            yield from _compared(f"{path}[]", one, other)
    elif _is_full(wanted) or _is_full(got) or not path:
        for side, value in (("wanted", wanted), ("got", got)):
            if value is not ABSENT:
                for where, leaf in leaves(value, path):
                    yield Field(where, **{side: leaf})
    else:
        yield Field(path, wanted, got)


def _paired(path: str, wanted: Sequence[Any], got: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Items of two lists: those that are equal, then those that share most, then those left alone."""
    waiting: dict[str, list[int]] = {}
    for place, item in enumerate(got):
        waiting.setdefault(plain(item), []).append(place)
    left: list[Any] = []
    taken = set[int]()
    for item in wanted:
        if places := waiting.get(plain(item)):
            taken.add(places[0])
            yield item, got[places.pop(0)]
        else:
            left.append(item)
    others = [item for place, item in enumerate(got) if place not in taken]
    rows, columns = _best(path, left, others)
    yield from ((left[row], others[column]) for row, column in zip(rows, columns, strict=True))
    yield from ((item, ABSENT) for row, item in enumerate(left) if row not in rows)
    yield from ((ABSENT, item) for column, item in enumerate(others) if column not in columns)


def _best(path: str, wanted: Sequence[Any], got: Sequence[Any]) -> tuple[list[int], list[int]]:
    """Places in both lists, so that the pairs have the most right fields."""
    short = list(range(min(len(wanted), len(got))))
    alone = not any(map(_is_full, wanted)) or not any(map(_is_full, got))
    if not short or alone or len(wanted) * len(got) > _MOST_PAIRS:
        return short, short
    from scipy.optimize import linear_sum_assignment  # a slow import that few tasks need

    shared = [[sum(field.right for field in _compared(f"{path}[]", a, b)) for b in got] for a in wanted]
    rows, columns = linear_sum_assignment(shared, maximize=True)
    return rows.tolist(), columns.tolist()
