"""Catalogues of APIs, in the forms in which people write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rung.data.catalogue import read_catalogue, tool_of, tools_of
from rung.errors import DataError

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "day": {}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Of a city", "parameters": SCHEMA}}


def written(tmp_path: Path, rows: list[Any], name: str = "apis.json") -> Path:
    path = tmp_path / name
    path.write_text(json.dumps(rows))
    return path


@pytest.mark.parametrize(
    "tool",
    [
        TOOL,
        TOOL["function"],
        {"name": "weather", "input_schema": SCHEMA},
        {"name": "weather", "inputSchema": SCHEMA},
        {"name": "weather", "parameters": json.dumps(SCHEMA)},
    ],
)
def test_tools_of_every_dialect(tool: Any, tmp_path: Path) -> None:
    entry = tool_of(tool)
    assert entry is not None
    assert (entry.call, entry.arguments, entry.required) == ("weather", ("city", "day"), ("city",))
    assert read_catalogue(written(tmp_path, [tool])).entries == (entry,)


def test_what_a_schema_leaves_open_is_open() -> None:
    assert tool_of({"name": "f", "parameters": SCHEMA | {"additionalProperties": True}}).arguments is None  # type: ignore[union-attr]
    assert tool_of({"name": "f", "parameters": {"$ref": "http://x.example/f"}}).arguments is None  # type: ignore[union-attr]
    xlam = tool_of({"name": "f", "parameters": {"kind": {"type": "str"}}})
    assert xlam is not None
    assert xlam.arguments == ("kind",)
    assert tool_of({"name": "f"}) is None
    assert tool_of({"name": "f"}, named=True) is not None


def test_tools_in_a_cell() -> None:
    assert tools_of(json.dumps([TOOL])) == [TOOL]
    assert tools_of({"tools": [TOOL]}) == [TOOL]
    assert tools_of(TOOL) == [TOOL]
    assert tools_of("a text") == tools_of(None) == tools_of([1]) == []


def test_calls_and_commands_with_their_documentation(tmp_path: Path) -> None:
    rows = [
        {"api_call": "hub.load('a', model='b')", "performance": {"top": 1}, "description": "sees --things"},
        {"name": "kubectl get", "documentation": "use -n NAME or --all-namespaces=true"},
    ]
    found = read_catalogue(written(tmp_path, rows))
    assert [entry.call for entry in found.entries] == ["hub.load('a', model='b')", "kubectl get"]
    assert [entry.flags for entry in found.entries] == [(), ("-n", "--all-namespaces")]
    assert 'performance: {"top": 1}' in found.entries[0].text
    assert found.facts()["entries"][1] == {"call": "kubectl get", "flags": ["-n", "--all-namespaces"]}


@pytest.mark.parametrize("rows", [[], [{"x": 1}], [{"name": ""}]])
def test_a_file_without_apis_is_refused(tmp_path: Path, rows: list[Any]) -> None:
    with pytest.raises(DataError, match="api_call"):
        read_catalogue(written(tmp_path, rows))


def test_types_of_arguments_in_the_words_of_every_dialect() -> None:
    kinds = {"a": "str", "b": "Float", "c": "dict", "d": ["string", "null"], "e": "any", "f": "boolean"}
    schema = {"properties": {name: {"type": kind} for name, kind in kinds.items()} | {"g": True}}
    entry = tool_of({"name": "f", "parameters": schema})
    assert entry is not None
    assert entry.arguments == ("a", "b", "c", "d", "e", "f", "g")
    assert entry.types == ("string", "number", "object", "", "", "boolean", "")
    assert entry.as_json()["types"] == list(entry.types)
