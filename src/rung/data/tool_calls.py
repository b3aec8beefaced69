"""What a row says about its tools: those it offers, and the answers that are right.

Right answers are lists of admissible values, as the Berkeley Function Calling Leaderboard writes them:
``[{"find_item": {"name": ["kettle", "electric kettle"], "town": ["Leeds", ""]}}]``; "" says that the argument
may be left out.  One of them, the first of each, is the target that is learned.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rung.data import names
from rung.data.catalogue import tools_of
from rung.data.strict_json import Row
from rung.data.values import unpacked

_TEXT_OF_A_CALL = re.compile(r"\s*[A-Za-z_][\w.]*\s*\(.*\)\s*", re.DOTALL)
LEFT_OUT = ""  # among the values of an argument: it may be left out


def facts_of(row: Row, tools: list[str]) -> dict[str, Any]:
    """``tools`` and ``ground_truth`` of a row, where it has them; `tools` names the columns of tools."""
    found: dict[str, Any] = {}
    offered = [tool for name in tools for tool in tools_of(row.get(name))]
    if offered:
        found["tools"] = offered
    for name, value in row.items():
        if names.plain(name) == "groundtruth" and is_admissible(calls := unpacked(value)):
            found["ground_truth"] = calls
    return found


def is_admissible(value: Any) -> bool:
    """Whether a value is a list of calls with lists of admissible values."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(call, dict)
            and len(call) == 1
            and all(
                isinstance(arguments, dict) and all(isinstance(one, list) for one in arguments.values())
                for arguments in call.values()
            )
            for call in value
        )
    )


def first_admissible(value: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One right answer, as calls with a name and arguments: each argument has the first of its values, and is
    left out where that is "".
    """
    return [
        {
            "name": name,
            "arguments": {key: _first(one) for key, one in arguments.items() if one and one[0] != LEFT_OUT},
        }
        for call in value
        for name, arguments in call.items()
    ]


def _first(values: list[Any]) -> Any:
    """The first of an argument's values; inside an object, each key has a list of its own."""
    return _plain(values[0])


def _plain(value: Any) -> Any:
    if isinstance(value, dict) and value and all(isinstance(one, list) for one in value.values()):
        return {key: _plain(one[0]) for key, one in value.items() if one and one[0] != LEFT_OUT}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value


def text_of_calls(value: Any) -> str:
    """Calls that a cell lists as texts, one a line; "" where it lists none."""
    listed = isinstance(value, list) and bool(value)
    if listed and all(isinstance(one, str) and _TEXT_OF_A_CALL.fullmatch(one) for one in value):
        return "\n".join(one.strip() for one in value)
    return ""
