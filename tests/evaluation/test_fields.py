"""Fields of JSON values: what counts as one, and what counts as right."""

from __future__ import annotations

from rung.evaluation.fields import fields_of


def test_fields_of_an_object() -> None:
    assert fields_of({"a": {"b": 1}, "c": [2, {"d": None}], "e": [], "f": {}}) == {
        (("a", "b"), "1"): 1,
        (("c", "[]"), "2"): 1,
        (("c", "[]", "d"), "null"): 1,
        (("e",), "[]"): 1,
        (("f",), "{}"): 1,
    }
