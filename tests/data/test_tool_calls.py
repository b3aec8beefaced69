"""What rows say about their tools and right answers."""

from __future__ import annotations

import json
from pathlib import Path

from rung.data.formats import read_examples
from rung.data.tool_calls import first_admissible, is_admissible, text_of_calls

TOOLS = [{"name": "find", "parameters": {"type": "dict", "properties": {"what": {"type": "string"}}}}]
TRUTH = [{"find": {"what": ["kettle", "pot"], "where": ["", "Leeds"], "size": [{"w": [2, 3], "h": [""]}]}}]


def test_the_first_admissible_answer() -> None:
    assert first_admissible(TRUTH) == [{"name": "find", "arguments": {"what": "kettle", "size": {"w": 2}}}]
    assert is_admissible(TRUTH)
    for other in ([], [{}], [{"f": {"x": 1}}], [{"f": {}, "g": {}}], "f(x=1)", [{"f": [1]}]):
        assert not is_admissible(other)


def test_a_file_of_the_berkeley_form(tmp_path: Path) -> None:
    rows = [
        {"id": f"simple_{i}", "question": [[{"role": "user", "content": f"a kettle, no. {i}"}]]}
        | {"function": TOOLS, "ground_truth": TRUTH}
        for i in range(3)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    loaded = read_examples(path)
    first = loaded.examples[0]
    assert loaded.hint == "api_call"
    assert [message.role for message in first.messages] == ["system", "user", "assistant"]
    assert first.target == 'find(what="kettle", size={"w": 2})'
    assert first.facts == {"tools": TOOLS, "ground_truth": TRUTH}


def test_openai_rows_keep_their_tools(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "find", "arguments": '{"what": "x"}'}}
    turns = [{"role": "user", "content": "find x"}, {"role": "assistant", "content": None}]
    turns[1]["tool_calls"] = [call, call]  # type: ignore[assignment]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"messages": turns, "tools": TOOLS}) for _ in range(3)))
    first = read_examples(path).examples[0]
    assert first.target == 'find(what="x")\nfind(what="x")'
    assert first.facts == {"tools": TOOLS}


def test_calls_listed_as_texts() -> None:
    assert text_of_calls(["f(x=1)", "g()"]) == "f(x=1)\ng()"
    assert text_of_calls(["f", "g()"]) == text_of_calls([]) == text_of_calls("f()") == ""
