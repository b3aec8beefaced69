"""Rows with rules that a program can check instead of an answer, in the form of IFEval (arXiv 2311.07911).

``instruction_id_list`` names the rules of a row and ``kwargs`` holds the arguments of each, in the
same order. They become the fact `RULES` of an example as the file writes them; whether they can be checked
is found out by `rung.evaluation.instruction_rules`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rung.data import names
from rung.data.strict_json import Row
from rung.data.values import unpacked
from rung.records import Example

RULES = "rules"  # in `Example.facts`: {"names": ..., "arguments": ...}
_NAMES, _ARGUMENTS = "instructionidlist", "kwargs"


def rule_columns(columns: Sequence[str]) -> list[str]:
    """The column of the names of rules, then that of their arguments where there is one; or none."""
    found = [[one for one in columns if names.plain(one) == wanted] for wanted in (_NAMES, _ARGUMENTS)]
    return [one for some in found for one in some[:1]] if found[0] else []


def rules_in(row: Row, columns: Sequence[str]) -> Mapping[str, Any]:
    """The facts of a row with these rule columns. A row without names of rules has none."""
    if not columns:
        return {}
    called, arguments = (_as_json(unpacked(row.get(name))) for name in (*columns, "")[:2])
    return {RULES: {"names": called, "arguments": arguments}} if called not in (None, "", []) else {}


def _as_json(value: Any) -> Any:
    """A value of a cell as JSON; what JSON does not know, such as a date, is text."""
    return json.loads(json.dumps(value, default=str))


def has_rules(example: Example) -> bool:
    """Whether an answer to the row is checked by rules, so that it needs no target."""
    return RULES in example.facts
