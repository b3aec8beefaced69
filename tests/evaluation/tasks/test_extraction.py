"""Extraction: what is taken for it, which targets can be used, and how numbers are graded."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from rows_of import of_targets, rows, task_of
from rung.evaluation.metrics import METRICS, grade, measures
from rung.evaluation.tasks import KINDS, doubts, grammars, learn, unreadable
from rung.numbers import ABSENT, quality
from rung.records import Completion, Score, Task, from_json, to_json


def graded(task: Task, target: Any, text: str) -> Score:
    example = of_targets(target if isinstance(target, str) else json.dumps(target))[0]
    return grade(task, example, Completion(example.id, text, 1))


def test_extraction_bears_five_in_a_hundred_that_are_not_json() -> None:
    objects = [
        json.dumps({"name": f"n{i}", "age": str(i)} if i % 2 else {"name": f"n{i}"}) for i in range(95)
    ]
    task = task_of(of_targets(*objects, *["none"] * 5))
    assert (task.kind, task.fields, task.primary) == ("extraction", ("name", "age"), "field_f1")
    assert task.why == "Extraction: 95 of 100 targets are JSON objects (2 different keys)."
    assert task_of(of_targets(*objects, *[f"none {i}" for i in range(9)])).kind == "generation"
    assert task_of(of_targets("[1, 2]", "[3]", "[4]", "[5]")).kind == "generation"
    assert task_of(of_targets('{"label": "a"}', '{"label": "b"}', times=20)).kind == "extraction"


def test_an_empty_object_is_an_object() -> None:
    task = task_of(of_targets("{}", '{"item": "a"}', '{"item": "b"}', times=10))
    assert (task.kind, task.fields) == ("extraction", ("item",))
    assert task.why == "Extraction: 30 of 30 targets are JSON objects (1 different key)."
    assert graded(task, "{}", "{}").values["field_f1"] == 1
    assert graded(task, "{}", '{"item": "a"}').values["field_f1"] == 0


def test_lists_of_objects_and_mixtures() -> None:
    listed = [json.dumps([{"method": "POST", "url": f"/{i}"}, {"method": "GET"}]) for i in range(20)]
    task = task_of(of_targets(*listed, "[]"))
    assert (task.kind, task.fields) == ("extraction", ("[].method", "[].url"))
    assert task.why == "Extraction: 21 of 21 targets are lists of JSON objects (2 different keys)."
    assert "one JSON list of objects and nothing else. Use only the keys that apply: method, url." in (
        KINDS["extraction"].instruction(task)
    )
    mixed = task_of(of_targets(*listed, *[json.dumps({"url": f"/{i}"}) for i in range(20)]))
    assert mixed.why == "Extraction: 40 of 40 targets are JSON objects or lists of them (2 different keys)."
    assert "one JSON object or list of objects" in KINDS["extraction"].instruction(mixed)


def test_a_list_is_graded_by_its_items() -> None:
    task = task_of(of_targets('[{"a": "x", "b": "y"}]', "[]", times=10))
    target = [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    right = graded(task, target, f"Sure: {json.dumps(target[::-1])}")
    assert (right.values["field_f1"], right.values["exact_match"]) == (1.0, 0.0)
    swapped = [{"a": "1", "b": "4"}, {"a": "3", "b": "2"}]
    assert graded(task, target, json.dumps(swapped)).values["field_f1"] == 0.5
    assert graded(task, target, json.dumps(target[0])).values["field_f1"] == 0
    objects = task_of(of_targets('{"a": "x"}', '{"a": "y"}', times=10))
    assert graded(objects, {"a": "x"}, '[{"a": "x"}]').status == "unparsed"
    assert graded(objects, "[]", "[]").values["exact_match"] == 1
    assert graded(objects, {"a": "x"}, "[]").values["field_f1"] == 0


def test_evidence_names_every_field() -> None:
    task = task_of(of_targets('{"a": "x"}', '{"a": "y"}', times=10))
    assert graded(task, {"a": "x", "b": "y"}, '{"a": "x", "c": "z"}').evidence == {
        "fields": [
            {"path": "a", "wanted": "x", "got": "x", "right": True},
            {"path": "b", "wanted": "y", "right": False},
            {"path": "c", "got": "z", "right": False},
        ]
    }


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ('{"item": "lamp", "price": NaN}', "its target is not JSON: it holds NaN"),
        ('{"item": "lamp", "deep": [{"price": -Infinity}]}', "its target is not JSON: it holds -Infinity"),
        ('{"item": "lamp", "item": "hinge"}', "its target has the key 'item' twice"),
        ('[{"x": {"item": 1, "item": 2}}]', "its target has the key 'item' twice"),
        ("none", "its target is not a JSON object"),
        ("[1, 2]", "its target is not a JSON object"),
        ('{"item": ', "its target is not a JSON object"),
        ('{"item": "lamp"}', ""),
        ("{}", ""),
    ],
)
def test_targets_that_the_grader_cannot_read_are_named(target: str, why: str) -> None:
    rows = of_targets(*['{"item": "pane"}', '{"item": "hinge"}'] * 15, target)
    task = task_of(rows)
    assert task.kind == "extraction"
    assert unreadable(task, rows) == ([(31, why)] if why else [])
    assert (graded(task, target, '{"item": "lamp"}').status == "error") is bool(why)


SCORES = [json.dumps({"clear": i / 10, "useful": 100 + i}) for i in range(11)]


def test_fields_that_are_numbers_are_graded_by_distance_too() -> None:
    task = task_of(of_targets(*SCORES))
    assert task.metrics == ("field_f1", "exact_match", "json_valid", "number_match")
    assert task.ranges == {"clear": (0.0, 1.0), "useful": (100.0, 110.0)}
    assert task.notes == (
        "2 of 2 fields are numbers; field_f1 compares them as text, number_match within 5% of their range",
    )
    for text, right in (
        ('{"clear": 0.55, "useful": 105.5}', 2),
        ('{"clear": 0.551, "useful": 105}', 1),
        ('{"clear": "0.5", "useful": true}', 0),
        ('{"useful": 105}', 1),
        ("no idea", 0),
    ):
        values = graded(task, {"clear": 0.5, "useful": 105}, text).values
        assert (values["numbers_right"], values["numbers"]) == (right, 2)


def test_number_match_is_a_share_of_numbers() -> None:
    task = task_of(of_targets(*SCORES))
    examples, texts = of_targets(*SCORES[:3]), [SCORES[0], '{"clear": 0.12, "useful": 0}', "?"]
    scores = [
        grade(task, one, Completion(one.id, text, 1)) for one, text in zip(examples, texts, strict=True)
    ]
    found = {one.name: one.value for one in measures(task, examples, scores, texts)}
    assert found["number_match"] == pytest.approx(3 / 6)
    without = of_targets('{"clear": null, "useful": null}')
    none = [grade(task, without[0], Completion(without[0].id, texts[0], 1))]
    assert {one.name: one.value for one in measures(task, without, none, texts[:1])}["number_match"] is None
    assert METRICS["number_match"].higher_is_better


def test_fields_that_are_not_always_numbers_have_no_range() -> None:
    targets = [
        json.dumps({"n": i, "odd": i if i % 2 else "none", "same": 7, "yes": bool(i % 2)}) for i in range(20)
    ]
    task = task_of(of_targets(*targets, '{"n": null}'))
    assert task.ranges == {"n": (0.0, 19.0)}
    assert task.notes[0].startswith("1 of 4 fields is a number; field_f1 compares it as text")
    assert task_of(of_targets('{"a": "x"}', '{"a": "y"}')).notes == ()
    lines = [json.dumps({"lines": [{"price": i}, {"price": 2 * i}]}) for i in range(1, 20)]
    assert task_of(of_targets(*lines)).ranges == {"lines[].price": (1.0, 38.0)}


ORDERS = [
    (f"Ship {n} {what}s to {who}", {"do": "ship", "what": what, "n": n, "to": {"name": who}})
    for n in range(2, 8)
    for what in ("lamp", "vase", "desk", "sofa")
    for who in ("Ann", "Bo", "Cy")
]


def orders() -> Task:
    """Learned from 72 rows, among them a broken one."""
    read = [*rows((text, json.dumps(value)) for text, value in ORDERS), *of_targets('{"do": 1, "do": 2}')]
    return learn(task_of(read), read)


def test_a_schema_is_learned_from_train_and_kept_with_the_task() -> None:
    task = orders()
    schema = task.facts["schema"]
    assert schema["required"] == ["do", "what", "n", "to"]
    assert set(schema["properties"]["what"]["enum"]) == {"lamp", "vase", "desk", "sofa"}
    assert schema["properties"]["to"]["properties"]["name"]["type"] == "string"
    assert task.facts["copied"] == ["do", "n", "to.name", "what"]
    assert task.metrics == (
        "field_f1",
        "exact_match",
        "json_valid",
        "number_match",
        "schema_valid",
        "made_up",
    )
    assert from_json(Task, json.loads(json.dumps(to_json(task)))) == task
    again = rows((text, json.dumps(value)) for text, value in ORDERS)
    assert learn(task, again).metrics == task.metrics
    assert grammars(task, again[:2])[0] == grammars(task, again[:2])[1] != ""
    assert grammars(task_of(again), again[:1]) == [""]


def test_answers_are_measured_by_the_schema_and_by_the_text() -> None:
    """By hand: is the form kept; copied fields that are not in the text, and all of them."""
    task, example = orders(), rows([(ORDERS[0][0], json.dumps(ORDERS[0][1]))])[0]
    for text, keeps, wrong, total in (
        (json.dumps(ORDERS[0][1]), 1, 0, 4),
        ('{"do": "ship", "what": "desk", "n": 2, "to": {"name": "Eve"}}', 0, 2, 4),
        ('{"do": "ship", "what": "stool", "n": 2, "to": {"name": "ann"}}', 0, 1, 4),
        ('{"do": "ship", "what": "lamp", "n": 2, "to": "Ann"}', 0, 0, 3),
        ('Sure: {"what": "LAMP", "more": "x"}', 0, 0, 1),
        ("no idea", 0, 0, 0),
    ):
        values = grade(task, example, Completion(example.id, text, 1)).values
        assert (values["schema_valid"], values.get("invented", 0)) == (keeps, wrong), text
        assert values.get("copied") == (total or None), text  # of no value nothing is measured


def test_made_up_is_a_share_of_values_and_lower_is_better() -> None:
    task, examples = orders(), rows((text, json.dumps(value)) for text, value in ORDERS[:3])
    texts = [examples[0].target, '{"do": "ship", "what": "vase", "n": 9, "to": {"name": "Bo"}}', "?"]
    scores = [
        grade(task, one, Completion(one.id, text, 1)) for one, text in zip(examples, texts, strict=True)
    ]
    found = {one.name: one for one in measures(task, examples, scores, texts)}
    assert found["made_up"].value == pytest.approx(2 / 8)
    assert found["made_up"].n == 2  # rows that give a value
    assert not found["made_up"].higher_is_better
    assert found["schema_valid"].value == pytest.approx(2 / 3)
    assert found["json_valid"].value == pytest.approx(2 / 3)


def test_where_no_answer_gives_a_value_nothing_is_made_up_or_copied() -> None:
    task, examples = orders(), rows((text, json.dumps(value)) for text, value in ORDERS[:2])
    texts = ["?", "{}"]
    scores = [
        grade(task, one, Completion(one.id, text, 1)) for one, text in zip(examples, texts, strict=True)
    ]
    found = {one.name: one for one in measures(task, examples, scores, texts)}
    assert (found["made_up"].value, found["made_up"].n) == (None, 0)
    assert quality(found["made_up"]) == ABSENT
    earlier = [replace(one, values={**one.values, "invented": 0.0, "copied": 0.0}) for one in scores]
    found = {one.name: one for one in measures(task, examples, earlier, texts)}
    assert found["made_up"].value is None


def test_rows_that_break_the_form_of_the_others_are_named_with_what_to_do() -> None:
    many = [json.dumps({"to": f"n{i}", "n": i}) for i in range(400)]
    read = of_targets(*many, json.dumps({"to": ["a", "b"], "n": 1}), '{"to": "a", "to": "b"}')
    task = learn(task_of(read), read)
    assert doubts(task, read) == [
        (401, "its target breaks the form of the other rows at to: ['a', 'b'] is not of type 'string'; "
         "correct it, or leave the row out")
    ]  # fmt: skip
    assert [row for row, _ in unreadable(task, read)] == [402]


def test_without_a_row_nothing_is_learned() -> None:
    task = task_of(of_targets('{"a": "x"}', '{"a": "y"}', times=10))
    assert learn(task, []) == task
