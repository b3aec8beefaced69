"""The grammar of a schema: which texts it takes, in which spacing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from rung.compute.load import tiny
from rung.evaluation.json_grammar import STYLES, Style, grammar_of, rules_of, starting, style_of
from rung.evaluation.schema import fits, learn
from rung.generate.grammars import Grammars

VALUES = [
    {
        "kind": ("bill", "note")[i % 2],
        "to": f"A. \"{i}\"\n",
        "sum": i / 2,
        **({"paid": None if i % 3 else True} if i % 4 else {}),
        "lines": [{"n": j, "of": {"x": "é"}} for j in range(i % 3)],
    }
    for i in range(40)
]  # fmt: skip


def takes(schema: dict[str, Any], style: Style | None, text: str) -> bool:
    return Grammars.of(tiny()).accepts(grammar_of(schema, style), text)


@pytest.mark.parametrize("style", STYLES, ids=str)
def test_values_are_taken_in_the_style_of_train_alone(style: Style) -> None:
    schema = learn(VALUES)
    for value in VALUES[:6]:
        for other in STYLES[:5]:
            assert takes(schema, style, other.text(value)) is (other == style)
        assert takes(schema, None, style.text(value))
        assert takes(schema, replace(style, ascii=True), replace(style, ascii=True).text(value))


def test_what_breaks_the_schema_is_not_taken() -> None:
    schema = learn(VALUES)
    good = VALUES[5]
    for change in (
        {"kind": "x"},
        {"sum": "1"},
        {"more": 1},
        {"lines": [{"n": 1}]},
        {"lines": {}},
        {"paid": 3},
    ):
        value = good | change
        assert not fits(schema, value)
        assert not takes(schema, Style(), Style().text(value))
    text = Style().text(good)
    assert not takes(schema, Style(), text[:-1])
    assert not takes(schema, Style(), text + " and more")
    assert takes(schema, Style(), f"\n{text}\n")


def test_keys_come_in_any_order_and_once_unless_train_has_one_order() -> None:
    free = learn([{"a": "x1", "b": 1}, {"b": 2, "a": "x2"}] * 30)
    assert takes(free, Style(), '{"b": 1, "a": "x1"}')
    assert not takes(free, Style(), '{"a": "x1", "a": "x2", "b": 1}')
    assert not takes(free, Style(), '{"b": 1}')
    fixed = learn([{"a": "x1", "b": 1, "c": 1}, {"a": "x2", "c": 2}] * 30)
    assert takes(fixed, Style(), '{"a": "x1", "b": 1, "c": 2}')
    assert takes(fixed, Style(), '{"a": "x1", "c": 2}')
    assert not takes(fixed, Style(), '{"b": 1, "a": "x1", "c": 2}')
    assert not takes(fixed, Style(), '{"a": "x1", "c": 2, "b": 1}')


def test_an_object_has_no_more_keys_than_train_and_one() -> None:
    rows = [{f"k{(i + j) % 9}": 1 for j in range(3)} for i in range(90)]
    schema = learn(rows)
    text = [json.dumps({f"k{j}": 1 for j in range(n)}) for n in range(7)]
    assert [takes(schema, Style(), one) for one in text] == [True, True, True, True, True, False, False]


def test_kinds_of_objects_and_lists_at_the_top() -> None:
    rows = [{"is": "a", "p": i, "q": i} for i in range(40)] + [{"is": "b", "r": i, "s": i} for i in range(40)]
    assert takes(learn(rows), Style(), '{"is": "b", "r": 1, "s": 2}')
    assert not takes(learn(rows), Style(), '{"is": "b", "p": 1, "q": 2}')
    listed = learn([[{"a": 1}], [], [{"a": 2}, {"a": 3}]] * 10)
    assert takes(listed, Style(), '[{"a": 1}, {"a": 2}]')
    assert takes(listed, Style(), "[]")
    assert not takes(listed, Style(), '{"a": 1}')


def test_more_keys_than_bits_and_schemas_of_others_are_written_by_llguidance() -> None:
    many = learn([{f"k{i}": i for i in range(70)}] * 30)
    assert takes(many, Style(), json.dumps({f"k{i}": i for i in range(70)}))
    other = {
        "$defs": {"day": {"type": "string", "pattern": "^[0-9]{2}$"}},
        "type": "object",
        "properties": {"d": {"$ref": "#/$defs/day"}},
        "additionalProperties": False,
    }
    assert takes(other, Style(), '{"d": "12"}')
    assert not takes(other, Style(), '{"d": "1x"}')
    assert takes({}, Style(), '{"anything": [1]}')


def test_the_style_of_most_texts() -> None:
    texts = [Style(",", ": ", 2).text(value) for value in VALUES]
    assert style_of(texts) == Style(",", ": ", 2)
    assert style_of([Style().text(value) for value in VALUES[:30]] + texts[30:]) == Style()
    assert style_of(['{"a": "\\u00e9"}']) == Style(ascii=True)
    assert style_of(['{"a":1,  "b":2}', "no JSON"]) is None
    assert style_of([]) is None


def test_values_inside_a_list_are_indented_once_more() -> None:
    schema = learn([{"a": "x1"}, {"a": "x2"}] * 9)
    top, rules = rules_of(schema, Style(",", ": ", 2), depth=1)
    grammar = "\n".join([starting(f'"[\\n  " {top} "\\n]"'), *rules]) + "\n"
    assert Grammars.of(tiny()).accepts(grammar, Style(",", ": ", 2).text([{"a": "x3"}]))
