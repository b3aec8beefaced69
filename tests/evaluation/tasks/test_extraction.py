"""Extraction: what is taken for it, and how fields are counted."""

from __future__ import annotations

import json

from rows_of import of_targets, task_of


def test_extraction_bears_five_in_a_hundred_that_are_not_json() -> None:
    objects = [json.dumps({"name": f"n{i}", "age": i} if i % 2 else {"name": f"n{i}"}) for i in range(95)]
    task = task_of(of_targets(*objects, *["none"] * 5))
    assert (task.kind, task.fields, task.primary) == ("extraction", ("name", "age"), "field_f1")
    assert task_of(of_targets(*objects, *[f"none {i}" for i in range(9)])).kind == "generation"
    assert task_of(of_targets("[1, 2]", "[3]", "[4]", "[5]")).kind == "generation"
    assert task_of(of_targets('{"label": "a"}', '{"label": "b"}', times=20)).kind == "extraction"
