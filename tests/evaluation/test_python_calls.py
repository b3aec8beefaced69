"""Python calls as trees, names of tools that Python does not allow among them."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from rung.evaluation.python_calls import arguments, pins_in, statements, texts_in, value_of


def one(text: str) -> str:
    ((_, written),), others = statements(text)
    assert not others
    return written


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("f(x=1.0)", "f(x=1)"),
        ("f(x='a')", 'f(x="a")'),
        ("f(x=true, y=null)", "f(y=None, x=True)"),
        ("f(x={'a': [1.0, 2]})", "f(x={'a': [1, 2.0]})"),
        ("f(b=1, a=2)", "f(a=2, b=1)"),
    ],
)
def test_equal_literals(first: str, second: str) -> None:
    assert one(first) == one(second)


@pytest.mark.parametrize(
    ("first", "second"), [("f(x=1)", "f(x='1')"), ("f(x=1)", "f(x=True)"), ("f(x=1.5)", "f(x=1)")]
)
def test_other_literals(first: str, second: str) -> None:
    assert one(first) != one(second)


@pytest.mark.parametrize(
    ("text", "name", "names"),
    [
        ('get-weather(from="Oslo", class="a", user-id=3)', "get-weather", {"from", "class", "user-id"}),
        ("github/list-issues($filter='x = 1, (from=2)')", "github/list-issues", {"$filter"}),
        ("a.b-c(x='a-b(1)')", "a.b-c", {"x"}),
    ],
)
def test_names_that_python_does_not_allow(text: str, name: str, names: set[str]) -> None:
    ((found, written),), _ = statements(text)
    assert (found, set(arguments(written))) == (name, names)
    assert one(written) == written  # what is written is read back


def test_a_list_of_such_calls() -> None:
    calls, others = statements("[f-g(x=1), h(y=2)]")
    assert ([name for name, _ in calls], others) == (["f-g", "h"], False)
    assert statements("this-is prose (really)")[0] == []


@pytest.mark.parametrize(
    ("text", "value"),
    [("(1, 2)", [1, 2]), ("{'a': (1,)}", {"a": [1]}), ("city", "city"), ("[x, 1]", ["x", 1]), ("-3", -3)],
)
def test_values(text: str, value: Any) -> None:
    assert value_of(ast.parse(text, mode="eval").body) == value


def test_texts_of_a_call() -> None:
    assert texts_in("f('a', x='b', y=['c'], z=1)") == {"a", "b"}


def test_texts_and_the_keywords_before_them() -> None:
    assert pins_in("f('a', 1, x='b', y=g('c'))") == (("", "a"), ("x", "b"))
