"""CoNLL, fastText and Rasa are known by their lines, and each gives rows."""

from __future__ import annotations

import pytest

from rung.data.corpora import (
    conll_rows,
    fasttext_rows,
    is_conll,
    is_fasttext,
    is_rasa,
    rasa_rows,
)
from rung.data.strict_json import RowError

CONLL = "-DOCSTART- -X- O\n\nAda NN B-PER\nLove NN I-PER\nleft VB O\n\nShe PR O\nsaw VB O\nHull NN B-LOC\n"
FAST = "__label__x a b\n__label__y , c\n__label__x __label__y d\n"
YAML = """version: "3.1"
nlu:
- intent: greet
  examples: |
    - hi [Ada](name)
    - "good day"
- lookup: city
  examples: |
    - Hull
- intent: bye  # end
  examples: |
    - see [you]{"entity": "x"}
"""
MARKDOWN = "## intent:greet\n- hi [Ada](name)\n\n## lookup:city\n- Hull\n\n## intent:bye\n- bye\n"


def test_conll() -> None:
    assert is_conll(CONLL)
    assert list(conll_rows(CONLL)) == [
        (1, {"text": "Ada Love left", "entities": {"PER": ["Ada Love"]}}),
        (2, {"text": "She saw Hull", "entities": {"LOC": ["Hull"]}}),
    ]


@pytest.mark.parametrize("odd", ["ER", "I", "-", "B-", "x"])
def test_conll_with_something_else_in_the_place_of_a_tag(odd: str) -> None:
    (_, first), (number, second) = conll_rows(CONLL.replace("I-PER", odd))
    assert isinstance(first, RowError)
    assert str(first) == f"has '{odd}' in the place of a tag"
    assert (number, second) == (2, {"text": "She saw Hull", "entities": {"LOC": ["Hull"]}})


@pytest.mark.parametrize(
    "text",
    [
        "text,label\na,b\nc,d\ne,f\n",
        "a b c\nd e\nf g h\ni O\n\n",
        "What is O\nThis is O\nNo is P\nO is O\n",
        "a B-X\nb O\n",
        "",
    ],
)
def test_what_is_not_conll(text: str) -> None:
    assert not is_conll(text)


def test_fasttext() -> None:
    assert is_fasttext(FAST)
    assert not is_fasttext("text,label\n__label__x a\n")
    assert list(fasttext_rows(FAST)) == [
        (1, {"text": "a b", "label": "x"}),
        (2, {"text": "c", "label": "y"}),
        (3, {"text": "d", "label": ["x", "y"]}),
    ]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (YAML, [("hi Ada", "greet"), ("good day", "greet"), ("see you", "bye")]),
        (MARKDOWN, [("hi Ada", "greet"), ("bye", "bye")]),
    ],
)
def test_rasa(text: str, rows: list[tuple[str, str]]) -> None:
    assert is_rasa(text)
    found = list(rasa_rows(text))
    assert [(row["text"], row["label"]) for _, row in found] == rows
    assert [number for number, _ in found] == list(range(1, len(rows) + 1))


@pytest.mark.parametrize(
    "text", ['text,label\n"\nnlu:\n",b\n', "prompt\n## intent:a\n- b\n", "# Title\n\nSome prose.\n", "a: 1\n"]
)
def test_what_is_not_rasa(text: str) -> None:
    assert not is_rasa(text)
