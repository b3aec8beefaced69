"""A schema that the user gives: what is taken, and what is refused with what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rows_of import of_targets, task_of
from rung.errors import DataError, UsageError
from rung.evaluation.given_schema import read_schema, require_harmless, with_schema
from rung.evaluation.tasks import KINDS, doubts, learn

TWO = {
    "$ref": "#/$defs/a",
    "$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"not": {"$ref": "#/$defs/a"}}},
}


def chain(length: int) -> dict[str, Any]:
    """Each part refers twice to the next one: 2^length parts."""
    parts = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(length)}
    return {"$ref": "#/$defs/d0", "$defs": parts | {f"d{length}": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "what"),
    [
        ({"$ref": "http://localhost/x.json"}, "which is not in the file"),
        ({"$ref": "other.json#/a"}, "which is not in the file"),
        ({"$dynamicRef": "#here"}, "which is not in the file"),
        ({"properties": {"a": {"$ref": "#"}}}, "recursive: #"),
        (TWO, "recursive: #/$defs/a -> #/$defs/b -> #/$defs/a"),
        ({"$ref": "#/$defs/none"}, "which is not there"),
        ({"properties": {"a": {"pattern": "(a+)+"}}}, "can take for ever"),
        ({"patternProperties": {"(a|ab)*": {}}}, "can take for ever"),
        ({"pattern": "("}, "cannot be read"),
        (chain(40), "more than 100,000 parts"),
    ],
)  # fmt: skip
def test_what_could_take_for_ever_or_is_elsewhere_is_refused(schema: dict[str, Any], what: str) -> None:
    with pytest.raises(DataError) as error:
        require_harmless(schema)
    assert what in str(error.value)
    assert error.value.fix


def test_shared_parts_and_names_that_look_like_keywords_are_taken() -> None:
    require_harmless(chain(3))
    require_harmless({"enum": [{"$ref": "http://localhost"}], "properties": {"a": {"const": {"$ref": "#"}}}})


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"type": 3}', "not a JSON Schema"),
        ('{"a": 1, "a": 2}', "is not JSON"),
        ("[" * 9000, "is not JSON"),
    ],
)
def test_files_that_hold_no_schema_are_refused(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "schema.json"
    file.write_text(text)
    with pytest.raises(DataError, match=what) as error:
        read_schema(file)
    assert error.value.where == str(file)
    with pytest.raises(DataError, match="cannot be read"):
        read_schema(tmp_path / "none.json")


def test_a_given_schema_stays_and_names_rows_that_break_it(tmp_path: Path) -> None:
    rows = of_targets(
        *[json.dumps({"item": f"n{i}", "size": "big" if i % 2 else "small"}) for i in range(40)]
    )
    schema = {"type": "object", "properties": {"size": {"enum": ["big", "small"]}, "item": {"maxLength": 2}}}
    (tmp_path / "s.json").write_text(json.dumps(schema))
    task = learn(with_schema(task_of(rows), tmp_path / "s.json"), rows)
    assert task.facts["schema"] == schema
    found = doubts(task, rows)
    assert [row for row, _ in found] == list(range(11, 41))
    assert (
        found[0][1]
        == "its target breaks the schema at item: 'n10' is too long; correct it, or leave the row out"
    )
    assert KINDS["extraction"].grammar(task, rows[0])


def test_a_schema_is_for_extraction(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is for extraction"):
        with_schema(task_of(of_targets("a", "b", times=20)), tmp_path / "s.json")
