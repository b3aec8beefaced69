"""Answers against lists of admissible values: cases worked by hand.

`benchmarks/calls_agreement.py` holds these rules to the leaderboard's own checker."""

from __future__ import annotations

from typing import Any

import pytest

from rung.evaluation.admissible import differences, is_right
from rung.evaluation.calls import read_calls

FIND = {
    "find": {"name": ["kettle", "electric kettle"], "town": ["Leeds", ""], "most": [20], "new": [True, ""]}
}


def right(text: str, truth: list[Any] | None = None) -> bool:
    return is_right(read_calls(text), truth or [FIND], {})


@pytest.mark.parametrize(
    "text",
    [
        "find(name='kettle', most=20)",
        "find(most=20.0, name='Electric  KETTLE', town='leeds')",
        "find(name='kettle', most=20, new=True)",
        '{"name": "find", "arguments": {"name": "kettle", "most": 20}}',
    ],
)
def test_right(text: str) -> None:
    assert right(text)


@pytest.mark.parametrize(
    "text",
    [
        "find(name='kettle')",  # most may not be left out
        "find(name='pot', most=20)",
        "find(name='kettle', most='20')",
        "find(name='kettle', most=20, new=1)",
        "find(name='kettle', most=20, colour='red')",
        "search(name='kettle', most=20)",
        "find(name='kettle', most=20)\nfind(name='kettle', most=20)",
        "find('kettle', most=20)",
    ],
)
def test_wrong(text: str) -> None:
    assert not right(text)


def test_objects_and_lists() -> None:
    truth = [{"f": {"box": [{"w": [1, 2], "h": ["", 5]}], "tags": [["a", "b"], []]}}]
    assert right("f(box={'w': 2.0}, tags=['A', 'b'])", truth)
    assert right("f(box={'w': 1, 'h': 5}, tags=[])", truth)
    for wrong in ("{'w': 3}", "{'h': 5}", "{'w': 1, 'd': 1}", "[1]"):
        assert not right(f"f(box={wrong}, tags=[])", truth)
    assert not right("f(box={'w': 1}, tags=['b', 'a'])", truth)
    deep = [{"f": {"x": [{"y": [{"z": [1]}]}], "rows": [[{"a": [1, 2]}, {"a": [3]}]]}}]
    assert right("f(x={'y': {'z': 1}}, rows=[{'a': 2}, {'a': 3}])", deep)
    assert not right("f(x={'y': {'z': 2}}, rows=[{'a': 2}, {'a': 3}])", deep)


def test_calls_have_no_order_and_each_needs_its_own() -> None:
    truth = [{"f": {"x": [1, 2]}}, {"f": {"x": [1]}}]
    assert right("f(x=1)\nf(x=2)", truth)  # the first may not take the only place of the second
    assert right("f(x=2)\nf(x=1)", truth)
    assert not right("f(x=2)\nf(x=2)", truth)


def test_required_arguments_are_required() -> None:
    truth = [{"f": {"x": [0, ""]}}]
    assert is_right(read_calls("f()"), truth, {})
    assert not is_right(read_calls("f()"), truth, {"f": {"x"}})


def test_what_differs() -> None:
    calls = read_calls("find(name='pot', colour=1)\ng()")
    assert differences(calls, [FIND], {}) == [["colour", "name", "most"]]
