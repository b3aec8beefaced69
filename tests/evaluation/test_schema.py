"""What is learned as the schema of JSON values, and what breaks it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from rung.errors import DataError
from rung.evaluation.schema import ORDER, breach, fits, learn


def people(n: int = 300) -> list[dict[str, Any]]:
    """Objects with an enum, a free string, a key that may be absent, a list of objects and an object."""
    return [
        {
            "kind": ("note", "bill", "letter")[i % 3],
            "to": f"person {i}",
            **({"sum": i + 0.5} if i % 2 else {}),
            "lines": [{"item": f"thing {j}", "n": j} for j in range(i % 4)],
            "place": {"city": f"city {i}", "open": i % 2 == 0},
        }
        for i in range(n)
    ]


def test_types_enums_required_keys_lists_and_nesting_are_learned() -> None:
    schema = learn(people())
    Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"kind", "to", "lines", "place"}
    inner = schema["properties"]
    assert inner["kind"] == {"type": "string", "enum": ["note", "bill", "letter"]}
    assert inner["to"] == {"type": "string"}
    assert inner["sum"] == {"type": "number"}
    assert inner["lines"]["items"]["properties"] == {
        "item": {"type": "string", "enum": ["thing 0", "thing 1", "thing 2"]},
        "n": {"type": "integer"},
    }
    assert inner["place"]["properties"]["open"] == {"type": "boolean"}
    assert schema[ORDER] == ["kind", "to", "sum", "lines", "place"]
    assert schema["maxProperties"] == 6


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({}, ""),
        ({"kind": "memo"}, " at kind: 'memo' is not one of"),
        ({"sum": "much"}, " at sum: 'much' is not of type 'number'"),
        ({"sum": 3}, ""),
        ({"colour": "red"}, ": Additional properties are not allowed ('colour' was unexpected)"),
        ({"lines": [{"item": "thing 1"}]}, " at lines[0]: 'n' is a required property"),
        ({"place": "Rome"}, " at place: 'Rome' is not of type 'object'"),
    ],
)
def test_what_breaks_a_schema_is_named_with_its_place(change: dict[str, Any], broken: str) -> None:
    schema, value = learn(people()), people()[0] | change
    assert breach(schema, value).startswith(broken)
    assert fits(schema, value) is (breach(schema, value) == "") is (broken == "")


def test_a_slip_is_no_type_and_a_missing_key_in_one_row_is_a_fault() -> None:
    odd = [people()[0] | {"to": 7}, {key: value for key, value in people()[0].items() if key != "to"}]
    schema = learn([*people(500), *odd])
    assert schema["properties"]["to"] == {"type": "string"}
    assert "to" in schema["required"]
    assert [bool(breach(schema, value)) for value in odd] == [True, True]
    few = learn([{"a": 1}, {"a": "x"}, {}])
    assert few["required"] == []
    assert sorted(few["properties"]["a"]["type"]) == ["integer", "string"]


def test_strings_that_seldom_come_back_are_no_enum() -> None:
    assert "enum" not in learn([{"a": f"v{i % 40}"} for i in range(100)])["properties"]["a"]
    assert "enum" in learn([{"a": f"v{i % 10}"} for i in range(100)])["properties"]["a"]
    assert "enum" not in learn([{"a": f"v{i % 3}"} for i in range(19)])["properties"]["a"]
    maybe = learn([{"a": ("x", "y", None)[i % 3]} for i in range(60)])["properties"]["a"]
    assert maybe == {"type": ["string", "null"], "enum": ["x", "y", None]}


def test_keys_that_are_data_leave_an_object_open() -> None:
    schema = learn([{f"name {i}": i, f"other {i}": i} for i in range(40)])
    assert schema == {"type": "object", "additionalProperties": {"type": "integer"}}


def test_a_field_that_says_the_kind_of_object_tells_its_keys() -> None:
    asks = {"weather": ("city", "day"), "music": ("artist", "album"), "book": ("title", "stars")}
    values = [
        {"intent": name, **{key: f"{key} {i}" for key in keys}}
        for i in range(40)
        for name, keys in asks.items()
    ]
    schema = learn(values)
    assert len(schema["anyOf"]) == 3
    assert all(fits(schema, value) for value in values)
    assert breach(schema, {"intent": "music", "artist": "a", "album": "b", "city": "Rome"}).endswith(
        "('city' was unexpected)"
    )


def test_order_is_that_of_all_keys_or_of_the_first() -> None:
    free = [
        {"id": i, **dict(reversed(pair) if i % 2 else pair)}
        for i, pair in enumerate([[("a", 1), ("b", 2)]] * 40)
    ]
    assert learn(free)[ORDER] == ["id"]
    assert learn([{"a": 1, "b": 2}, {"b": 1, "a": 2}] * 20)[ORDER] == []


@given(
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text("ab", max_size=2),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("pqr"), inner, max_size=3)
            ),
        ),
        max_size=12,
    )
)
def test_few_values_always_keep_to_their_own_schema(values: list[Any]) -> None:
    """Below 200 values nothing is taken for a slip."""
    schema = learn(values)
    Draft202012Validator.check_schema(schema)
    assert all(fits(schema, json.loads(json.dumps(value))) for value in values)


def test_no_url_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("a URL was opened"))
    with pytest.raises(Exception, match="localhost"):
        fits({"$ref": "http://localhost:1/schema.json"}, {})


def test_a_slow_pattern_ends_in_an_error() -> None:
    with pytest.raises(DataError, match="takes longer"):
        fits({"type": "string", "pattern": "^(a|aa)+$"}, "a" * 80 + "!")
    assert fits({"pattern": "^[ab]+$"}, "abba")
    assert not fits({"pattern": "^[ab]+$"}, "abc")
