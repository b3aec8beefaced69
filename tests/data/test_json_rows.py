"""JSON in its many layouts gives rows; what holds none is refused with the way out."""

from __future__ import annotations

from typing import Any

import pytest

from rung.data.json_rows import NoRows, Shape, cells_to_row, line_values, rows_in, shape_of, values_in
from rung.data.strict_json import RowError

A, B = {"text": "a", "label": "x"}, {"text": "b", "label": "y"}


def known(name: str) -> bool:
    return name in ("text", "label", "question", "answer")


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ('{"a": 1}\n{"a": 2}\n', "lines"),
        ('{"a": 1},\n{"a": 2}', "lines"),
        ("[1, 2]\n[3, 4]\n", "lines"),
        ('{"a": 1\n{"a": 2}\n', "lines"),
        ('[{"a": 1},\n{"a": 2}]', "list"),
        ('[{"a": 1}]', "list"),
        ("[\n", "list"),
        ('{"a": [1]}', "document"),
        ('{\n"a": 1\n}\n', "document"),
        ('{\n"a": 1\n}\n{\n"a": 2\n}\n', "values"),
        ('{\n"a": 1,\n"b": oops\n}\n', "document"),
    ],
)
def test_shapes(text: str, shape: Shape) -> None:
    assert shape_of(text) == shape


def test_lines_keep_their_numbers_and_comments_are_said() -> None:
    notes: list[str] = []
    found = list(line_values('# a\n{"a": 1},\n\n// b\n{"a": 2},\n{"a"\n', notes))
    assert found[:2] == [(2, {"a": 1}), (5, {"a": 2})]
    assert found[2][0] == 6
    assert isinstance(found[2][1], RowError)
    assert notes == ["2 comment lines left out", "commas at the end of 2 lines left out"]


def test_values_over_several_lines() -> None:
    assert list(values_in('{\n"a": 1\n}\n,{"a":\n2}\n')) == [{"a": 1}, {"a": 2}]
    first, second = values_in('{"a": 1}\n{"a": \n')
    assert first == {"a": 1}
    assert isinstance(second, RowError)


@pytest.mark.parametrize(
    ("value", "rows", "shape"),
    [
        ([A, B], [A, B], ""),
        ({"data": [A, B]}, [A, B], ""),
        ({"version": 1, "result": {"items": [A, B]}}, [A, B], ""),
        (A, [A], ""),
        ({"text": ["a", "b"], "label": ["x", "y"]}, [A, B], "columns"),
        ({"text": {"0": "a", "1": "b"}, "label": {"0": "x", "1": "y"}}, [A, B], "columns"),
        ({"p": A, "q": B, "r": A}, [{"id": "p", **A}, {"id": "q", **B}, {"id": "r", **A}], "ids"),
        ({"x": ["a"], "y": ["b", "c"]}, [A, B, {"text": "c", "label": "y"}], "labels"),
        ([["a", "x"], ["b", "y"]], [["a", "x"], ["b", "y"]], ""),
        ([[{"role": "user"}]], [{"messages": [{"role": "user"}]}], ""),
        (
            {"intents": [{"tag": "x", "patterns": ["a", "b"], "responses": ["r"]}]},
            [A, {"text": "b", "label": "x"}],
            "intents",
        ),
        ([{"answer": "x", "questions": ["a"]}], [{"question": "a", "answer": "x"}], "intents"),
        ({"rasa_nlu_data": {"common_examples": [{"text": "a", "intent": "x", "entities": []}]}}, [A], "rasa"),
    ],
)
def test_documents(value: Any, rows: list[Any], shape: str) -> None:
    found = rows_in(value, known, "a.json")
    assert (found.rows, found.shape) == (rows, shape)


def test_what_is_left_out_of_a_document_is_said() -> None:
    assert rows_in({"v": 1, "data": [A]}, known, "a.json").notes == ["rows are the list 'data'"]
    intents = [{"tag": "x", "patterns": ["a"], "responses": ["r"], "context": ""}]
    assert rows_in({"intents": intents}, known, "a.json").notes == [
        "one row for each of 'patterns', 'tag' is the target",
        "responses are not used",
    ]


def test_squad() -> None:
    qas = [
        {"id": 1, "question": "q", "answers": [{"text": "x", "answer_start": 0}, {"text": "y"}]},
        {"id": 2, "question": "r", "answers": [], "is_impossible": True},
    ]
    found = rows_in(
        {"version": "2", "data": [{"paragraphs": [{"context": "c", "qas": qas}]}]}, known, "a.json"
    )
    assert found.rows == [{"id": 1, "context": "c", "question": "q", "answer": "x"}]
    assert found.notes[-1] == "1 question without an answer left out"


@pytest.mark.parametrize("odd", [3, "x", None, {}, [1], [[]], [{"qas": 3}], [{"qas": [3, {"answers": "x"}]}]])
def test_squad_with_something_else_in_its_places(odd: Any) -> None:
    good = [{"context": "c", "qas": [{"question": "q", "answers": ["x"]}]}]
    found = rows_in({"data": [{"paragraphs": odd}, {"paragraphs": good}]}, known, "a.json")
    assert [row["answer"] for row in found.rows] == ["x"]


def test_a_split_table_names_its_columns() -> None:
    found = rows_in({"columns": ["text", "label"], "index": [0], "data": [["a", "x"]]}, known, "a.json")
    assert (found.columns, found.rows) == (("text", "label"), [["a", "x"]])


@pytest.mark.parametrize(
    ("value", "what", "fix"),
    [
        ({"train": [A, B], "test": [A]}, "holds 2 lists of rows: 'train' (2), 'test' (1)", "go to --test"),
        ({"en": [A], "x": {"fr": [B]}}, "holds 2 lists of rows: 'en' (1), 'x.fr' (1)", "Save the one"),
        (
            {"a": {"b": {"c": 1}}},
            "is one JSON object with the keys 'a'; rung reads a list of rows",
            "Write a list",
        ),
        (["a", "b"], "is a list of texts, not of objects", "one object with its keys"),
        ([1], "is a list of numbers, not of objects", ""),
        (7, "is the JSON value '7'", ""),
        ({"nbformat": 4, "cells": [{}]}, "is a Jupyter notebook", "to_csv"),
        ([{"data": {}, "annotations": []}], "is a Label Studio export", "JSON-MIN"),
    ],
)
def test_documents_without_rows(value: Any, what: str, fix: str) -> None:
    with pytest.raises(NoRows) as caught:
        rows_in(value, known, "a.json")
    assert what in str(caught.value)
    assert fix in caught.value.fix


def test_cells() -> None:
    assert cells_to_row(["a", "x"], ("text", "label")) == A
    assert cells_to_row(A, ("text", "label")) == A
    with pytest.raises(RowError, match="is a list of 1 item where the first has 2"):
        cells_to_row(["a"], ("text", "label"))
