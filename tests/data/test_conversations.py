"""Conversations of every dialect become messages."""

from __future__ import annotations

from typing import Any

import pytest

from rung.data.conversations import (
    Speakers,
    is_call,
    is_turns,
    read_history,
    read_turns,
    tools_text,
    written_calls,
)
from rung.data.strict_json import RowError
from rung.data.values import Seen
from rung.records import Message

QA = [Message("user", "a"), Message("assistant", "b")]
CALL = {"name": "find", "arguments": {"what": 'a "b"', "n": 2, "deep": {"x": [True, None]}}}
WRITTEN = 'find(what="a \\"b\\"", n=2, deep={"x": [True, None]})'


def read(value: Any, **roles: tuple[str, ...]) -> list[Message]:
    return read_turns(value, "turns", Speakers(roles), Seen())


@pytest.mark.parametrize(
    "value",
    [
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}],
        [{"speaker": "Customer", "utterance": "a"}, {"speaker": "Agent", "utterance": "b"}],
        [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}],
        [{"role": "prompter", "text": "a"}, {"role": "bot", "text": "b"}],
        [{"role": "user", "content": [{"type": "text", "text": "a"}]}, {"role": "ai", "content": "b"}],
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]',
        "[{'from': 'human', 'value': 'a'}, {'from': 'gpt', 'value': 'b'}]",
        [{"input": "a", "output": "b"}],
        [{"human": "a", "assistant": "b"}],
        [{"question": "a", "answer": "b"}],
    ],
)
def test_dialects(value: Any) -> None:
    assert is_turns(value)
    assert read(value) == QA


def test_texts_without_roles_take_turns() -> None:
    seen = Seen()
    found = read_turns(["a", "b", "c", "d"], "dialog", Speakers(), seen)
    assert found == [*QA, Message("user", "c"), Message("assistant", "d")]
    assert seen.roleless == 1


def test_pairs_may_bring_a_system_text() -> None:
    pairs = [{"system": " S ", "input": "a", "output": "b"}, {"input": "c", "output": "d", "mood": "x"}]
    seen = Seen()
    found = read_turns(pairs, "turns", Speakers(), seen)
    assert found == [Message("system", "S"), *QA, Message("user", "c"), Message("assistant", "d")]
    assert list(seen.turn_keys) == ["mood"]


@pytest.mark.parametrize("key", ["weight", "loss_weight", "train"])
@pytest.mark.parametrize(
    ("value", "learn"), [(0, False), (0.0, False), (1, True), (False, False), (True, True)]
)
def test_weights(key: str, value: Any, learn: bool) -> None:
    turns = [{"role": "user", "content": "a", key: 0}, {"role": "assistant", "content": "b", key: value}]
    assert read(turns) == [Message("user", "a"), Message("assistant", "b", learn)]


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("developer", "system"),
        ("Function Call", "assistant"),
        ("function-call", "assistant"),
        ("observation", "tool"),
        ("function", "tool"),
        ("tool_response", "tool"),
        ("visitor", "user"),
    ],
)
def test_names_of_roles(name: str, role: str) -> None:
    assert Speakers({"user": ("visitor",)}).role(name, "turn 1") == role


def test_unknown_roles_name_the_nearest_and_the_flag() -> None:
    with pytest.raises(
        RowError, match=r"unknown role 'asistant' in turn 2\. Did you mean 'assistant'"
    ) as caught:
        Speakers().role("asistant", "turn 2")
    assert caught.value.fix == "Say which role it is: --roles user=asistant or --roles assistant=asistant"


@pytest.mark.parametrize(
    "turn",
    [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": CALL}],
        },
        {"role": "assistant", "content": "", "function_call": CALL},
        {
            "from": "function_call",
            "value": '{"name": "find", "arguments": "{\\"what\\": \\"a \\\\\\"b\\\\\\"\\", '
            '\\"n\\": 2, \\"deep\\": {\\"x\\": [true, null]}}"}',
        },
        {"role": "tool_call", "content": CALL},
    ],
)
def test_calls_are_written_as_calls(turn: Any) -> None:
    assert read([turn]) == [Message("assistant", WRITTEN)]


def test_several_calls_stand_on_lines_of_their_own_below_what_was_said() -> None:
    calls = [
        {"function": {"name": "f", "arguments": "{}"}},
        {"function": {"name": "g", "arguments": {"x": 1.5}}},
    ]
    turn = {"role": "assistant", "content": "So:", "tool_calls": calls}
    assert read([turn]) == [Message("assistant", "So:\nf()\ng(x=1.5)")]
    assert written_calls("no call", "x") == "no call"


def test_what_a_call_is() -> None:
    assert is_call(CALL)
    assert is_call({"type": "function", "function": CALL})
    assert not is_call({"name": "find"})
    assert not is_call({"name": 3, "arguments": {}})
    assert not is_call("find()")


@pytest.mark.parametrize(
    ("call", "part"),
    [
        ({"arguments": {}}, "a call without a name in turn 1"),
        ({"name": "f", "arguments": "{"}, "whose arguments are not JSON"),
        ({"name": "f", "arguments": [1]}, r"whose arguments are '\[1\]', not an object"),
    ],
)
def test_calls_that_cannot_be_written(call: Any, part: str) -> None:
    with pytest.raises(RowError, match=part):
        read([{"role": "assistant", "tool_calls": [call]}])


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("hello", "has 'hello' in 'turns', not a list of turns"),
        ([], "has no turns in 'turns'"),
        ([3], "has '3' as turn 1"),
        ([{"content": "a"}], "lacks 'role' in turn 1"),
        ([{"role": "user"}], "lacks 'content' in turn 1"),
        ([{"role": "user", "content": None}], "has null in turn 1"),
    ],
)
def test_what_is_no_conversation(value: Any, part: str) -> None:
    with pytest.raises(RowError, match=part):
        read(value)


@pytest.mark.parametrize(
    "value", ["a", [], ["a", "b"], [{"start": 0, "end": 1}], {"a": 1}, None, [{"text": "a"}]]
)
def test_what_does_not_look_like_turns(value: Any) -> None:
    assert not is_turns(value)


@pytest.mark.parametrize(
    "value", [None, "", [], [["a", "b"]], '[["a", "b"]]', [{"human": "a", "assistant": "b"}]]
)
def test_history(value: Any) -> None:
    assert read_history(value, "history", Speakers(), Seen()) == (QA if value else [])


def test_tools() -> None:
    assert tools_text('[{"name": "é"}]', "tools") == '[{"name": "é"}]'
    assert tools_text([{"name": "f"}], "tools") == '[{"name": "f"}]'
    assert tools_text("f(x): finds x", "tools") == "f(x): finds x"
    assert [tools_text(value, "tools") for value in (None, "", [], "[]")] == ["", "", "", ""]


def test_a_role_that_cannot_be_typed_is_not_shown_in_a_command() -> None:
    with pytest.raises(RowError) as caught:
        Speakers({}).role("a\nb", "turn 1")
    assert caught.value.fix == "Say which role it is: --roles user=NAME or --roles assistant=NAME"
    assert "\n" not in str(caught.value)
