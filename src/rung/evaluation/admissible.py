"""Answers against lists of admissible values, by the rules of the Berkeley Function Calling Leaderboard.

``ground_truth`` is ``[{"find_item": {"name": ["kettle"], "town": ["Leeds", ""]}}]``: a call is right if it is
of the function, each of its arguments has one of the values listed, and every argument is there that the tool
requires or that "" does not allow to be left out.  Calls have no order.  Texts are compared without case,
spaces and ``,./-_*^``, as that leaderboard does; 1 and 1.0 are equal, true is not 1.  Values inside objects
have lists of their own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rung.data.tool_calls import LEFT_OUT
from rung.evaluation.calls import Call
from rung.evaluation.python_calls import arguments, value_of

_SEPARATORS = re.compile(r"[ ,./\-_*^]")
Wanted = Mapping[str, Mapping[str, Sequence[Any]]]
Required = Mapping[str, Collection[str]]  # function -> arguments that its schema requires


def is_right(calls: Sequence[Call], ground_truth: Sequence[Wanted], required: Required) -> bool:
    """Whether `calls` are those of `ground_truth`, in any order."""
    fits = [[not different(call, wanted, required) for wanted in ground_truth] for call in calls]
    return len(calls) == len(ground_truth) and _matched(fits)


def differences(calls: Sequence[Call], ground_truth: Sequence[Wanted], required: Required) -> list[list[str]]:
    """What differs in each call, held against the nearest of those of its function that are left."""
    found: list[list[str]] = []
    left = list(range(len(ground_truth)))
    for call in calls:
        same = [place for place in left if call.name in ground_truth[place]]
        if same:
            wrong = {place: different(call, ground_truth[place], required) for place in same}
            best = min(same, key=lambda place: len(wrong[place]))
            left.remove(best)
            found.append(wrong[best])
    return found


def different(call: Call, wanted: Wanted, required: Required) -> list[str]:
    """The arguments of `call` that are wrong, missing or too many; its name where that is wrong."""
    (name, values), *_ = wanted.items()
    if call.form != "python" or call.name != name:
        return [call.name]
    said = {key: value_of(node) for key, node in arguments(call.tokens[0]).items()}
    wrong = [key for key, value in said.items() if key not in values or not _is_one_of(value, values[key])]
    must = {key for key, one in values.items() if LEFT_OUT not in one} | set(required.get(name, ()))
    return wrong + sorted(must - said.keys())


def _is_one_of(value: Any, values: Sequence[Any]) -> bool:
    return any(_fits(value, one) for one in values)


def _fits(value: Any, wanted: Any) -> bool:
    """Whether a value is one that is wanted."""
    if isinstance(wanted, dict) and isinstance(value, dict):
        if not wanted or not all(isinstance(one, list) for one in wanted.values()):
            return value.keys() == wanted.keys() and all(_fits(value[key], wanted[key]) for key in wanted)
        there = all(key in value or LEFT_OUT in one for key, one in wanted.items())
        return there and all(key in wanted and _is_one_of(one, wanted[key]) for key, one in value.items())
    if isinstance(wanted, list) and isinstance(value, list):
        return len(value) == len(wanted) and all(map(_fits, value, wanted))
    if isinstance(wanted, str) and isinstance(value, str):
        return _bare(value) == _bare(wanted)
    if isinstance(wanted, bool) or isinstance(value, bool):
        return wanted is value
    return bool(value == wanted)


def _bare(text: str) -> str:
    return _SEPARATORS.sub("", text).lower().replace("'", '"')


def _matched(fits: Sequence[Sequence[bool]]) -> bool:
    """Whether each row can have a column of its own that fits it (Kuhn's augmenting paths)."""
    taken: dict[int, int] = {}  # column -> row

    def place(row: int, tried: set[int]) -> bool:
        for column, fit in enumerate(fits[row]):
            if fit and column not in tried:
                tried.add(column)
                if column not in taken or place(taken[column], tried):
                    taken[column] = row
                    return True
        return False

    return all(place(row, set()) for row in range(len(fits)))
