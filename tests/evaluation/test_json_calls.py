"""Calls that are written as JSON."""

from __future__ import annotations

import pytest

from rung.evaluation.calls import read_calls, same_calls
from rung.evaluation.json_calls import calls_in_json

WANTED = read_calls("f(x=1, from='a')")


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "f", "arguments": {"x": 1, "from": "a"}}',
        '[{"name": "f", "parameters": {"from": "a", "x": 1.0}}]',
        '<tool_call>\n{"name": "f", "arguments": {"x": 1, "from": "a"}}\n</tool_call>',
        '```json\n[{"name": "f", "arguments": {"x": 1, "from": "a"}}]\n```',
        '{"calls": [{"function": {"name": "f", "arguments": "{\\"x\\": 1, \\"from\\": \\"a\\"}"}}]}',
        '[TOOL_CALLS] [{"name": "f", "arguments": {"x": 1, "from": "a"}}]',
    ],
)
def test_every_form_is_the_same_call(text: str) -> None:
    assert same_calls(read_calls(text, ("f",)), WANTED)


def test_several_calls_in_their_order() -> None:
    one = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    text = one + one.replace('"f"', '"g"')
    assert [call.name for call in read_calls(text)] == ["f", "g"]
    assert read_calls('I call {"name": "f", "arguments": {"x": 1}} now.', ("f",))[0].name == "f"


@pytest.mark.parametrize(
    "text",
    [
        '{"x": 1}',
        "[1, 2]",
        "{",
        '{"name": "f"}',
        '{"name": "f", "arguments": [1]}',
        '{"name": "f", "name": "g"}',
    ],
)
def test_json_that_is_no_call(text: str) -> None:
    assert calls_in_json(text) == ""


def test_much_nesting_does_no_harm() -> None:
    assert calls_in_json("[" * 50_000) == ""


def test_a_python_call_with_json_in_it_stays_one() -> None:
    (call,) = read_calls("""f(calls=[{"name": "g", "arguments": {"x": 1}}])""")
    assert call.name == "f"
