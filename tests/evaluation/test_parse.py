"""Reading answers out of completions: labels and JSON objects."""

from __future__ import annotations

import pytest

from rung.evaluation.parse import read_label, read_object

MOODS = ("positive", "negative", "mixed")


@pytest.mark.parametrize(
    "text",
    [
        "positive",
        "  Positive.\n",
        '"POSITIVE"',
        "**positive**",
        "Label: positive",
        "Answer - positive!",
        "answer = positive",
        "The sentiment is positive.",
        "The sentiment of this review is: “positive”",
        "I would call it positive, since she liked the ending.",
        '{"label": "positive"}',
        "positive\n\nText: an awful film\nLabel: negative",
        "```\npositive\n```",
    ],
)
def test_label_is_found(text: str) -> None:
    assert read_label(text, MOODS) == "positive"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "...",
        "good",
        "positive or negative",
        "It is not positive.",
        "It isn't really positive.",
        "nonpositive",
        "non-positive",
        "positively glowing",
    ],
)
def test_no_single_label(text: str) -> None:
    assert read_label(text, MOODS) is None


def test_longer_label_wins_over_the_one_inside() -> None:
    labels = ("spam", "not spam")
    assert read_label("This mail is clearly not spam, I think", labels) == "not spam"
    assert read_label("This mail is clearly spam, I think", labels) == "spam"
    assert read_label("C++", ("C", "C++", "C#")) == "C++"
    assert read_label("It was written in C++ I believe", ("Java", "C++")) == "C++"


def test_labels_that_look_alike_are_only_told_apart_exactly() -> None:
    assert read_label("A+", ("A+", "A-", "A")) == "A+"
    assert read_label("us", ("US", "us")) == "us"
    assert read_label("Us", ("US", "us")) is None


def test_labels_of_several_words() -> None:
    labels = ("card_arrival", "card_payment", "card")
    assert read_label("Card arrival", labels) == "card_arrival"
    assert read_label("The intent is card_payment.", labels) == "card_payment"
    assert read_label("about my card_linking", labels) is None


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("B) Paris", "B"),
        ("B. Paris", "B"),
        ("The answer is B.", "B"),
        ("Answer: B) Paris", "B"),
        ("A capital in the north", None),
        ("I think so", None),
    ],
)
def test_one_letter_labels_are_not_looked_for_in_prose(text: str, label: str | None) -> None:
    assert read_label(text, ("A", "B", "C")) == label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("-1", "-1"),
        ("1", "1"),
        ("1.5", None),
        ("Answer: -1", "-1"),
        ("It is **1**.", "1"),
        ("10", None),
        ("0.5", None),
    ],
)
def test_numbers_keep_sign_and_size(text: str, label: str | None) -> None:
    assert read_label(text, ("1", "-1", "0")) == label


def test_accents_and_case_of_any_script() -> None:
    assert read_label("POSITIF", ("positif", "négatif")) == "positif"
    assert read_label("Ne\u0301gatif", ("positif", "négatif")) == "négatif"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('Here it is:\n```json\n{"a": {"b": [1, "}"]}}\n```\nDone {x}', {"a": {"b": [1, "}"]}}),
        ('As {asked}: {"a": 1} and {"a": 2}', {"a": 1}),
        ('{"a": "\\"}{"}', {"a": '"}{'}),
        ("{}", {}),
        ('[note] {"a": 1}', {"a": 1}),
    ],
)
def test_object_is_found(text: str, value: object) -> None:
    assert read_object(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a, b",
        '[{"a": 1}]',
        '"a"',
        '{"a": 1',
        '{"a": {"b": 1}',
        "{'a': 1}",
        '{"a": 1, "a": 2}',
        '{"x": {"a": 1, "a": 1}}',
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a":' * 5000 + "1" + "}" * 5000,
        '{"a": ' + "9" * 5000 + "}",
    ],
)
def test_object_is_refused(text: str) -> None:
    assert read_object(text) is None
