"""Reading answers out of completions: labels and JSON objects."""

from __future__ import annotations

import pytest

from rung.evaluation.parse import read_json, read_label, read_object

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


def test_labels_that_look_the_same_are_only_matched_exactly() -> None:
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
        ("**B**", "B"),
        ('"B"', "B"),
        ("**B** because it is so", "B"),
        ("(B) is right", "B"),
        ("B - Paris", "B"),
        ("A capital in the north", None),
        ("A's capital", None),
        ("The answer is A good film", None),
        ("A, B or C", None),
        ("!A) no", None),
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
        ("1.0", "1"),
        ("−1", "-1"),
        ("-1)", "-1"),
        ("<1", None),
    ],
)
def test_numbers_keep_sign_and_size(text: str, label: str | None) -> None:
    assert read_label(text, ("1", "-1", "0")) == label


def test_accents_and_case_of_any_script() -> None:
    assert read_label("POSITIF", ("positif", "négatif")) == "positif"
    assert read_label("Ne\u0301gatif", ("positif", "négatif")) == "négatif"


@pytest.mark.parametrize("text", ["-1", "−1", "-1)", "-1. It is bad", "(-1)", "Answer: -1"])
def test_a_label_with_a_sign_is_not_read_as_one_without(text: str) -> None:
    assert read_label(text, ("1", "0")) is None


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("The score is -10 today", None),
        ("a score of 10 today", "10"),
        ("between 10.5 and 11", None),
        ("less than <10", None),
    ],
)
def test_numbers_in_prose_keep_their_sign(text: str, label: str | None) -> None:
    assert read_label(text, ("10", "20")) == label


ZH, TH, JA = ("正面", "负面"), ("บวก", "ลบ"), ("ポジティブ", "ネガティブ")


@pytest.mark.parametrize(
    ("text", "labels", "label"),
    [
        ("负面的", ZH, "负面"),
        ("这是负面的", ZH, "负面"),
        ("情感是负面", ZH, "负面"),
        ("答案：负面", ZH, "负面"),
        ("我认为是正面，因为很安静", ZH, "正面"),
        ("特别负面", ZH, "负面"),
        ("非常负面", ZH, "负面"),
        ("不是负面", ZH, None),
        ("这不是一部负面的电影", ZH, None),
        ("不正面也不负面", ZH, None),
        ("正面还是负面", ZH, None),
        ("คำตอบคือลบ", TH, "ลบ"),
        ("ไม่ใช่ลบ", TH, None),
        ("答えはポジティブです", JA, "ポジティブ"),
        ("ポジティブではない", JA, None),
        ("スーパーポジティブ", JA, None),  # a longer word
        ("这是positive的", ("positive", "negative"), "positive"),
        ("是。", ("是", "否"), "是"),
        ("是的，很好", ("是", "否"), None),  # one character is not looked for
    ],
)
def test_scripts_without_spaces(text: str, labels: tuple[str, ...], label: str | None) -> None:
    assert read_label(text, labels) == label


@pytest.mark.parametrize(
    ("text", "label"), [("👍 great", "👍"), ("I say 👍🏽!", "👍"), ("👍 or 👎", None), ("great", None)]
)
def test_emoji_are_found_anywhere(text: str, label: str | None) -> None:
    assert read_label(text, ("👍", "👎")) == label
    assert read_label("I ❤ it", ("❤\ufe0f", "💔")) == "❤\ufe0f"
    assert read_label("👨‍👩‍👧", ("👨", "👧")) is None


def test_a_label_inside_a_longer_word_stays_unread() -> None:
    assert read_label("That is untrue I fear", ("true", "false")) is None
    assert read_label("Das ist nicht positiv", ("positiv", "negativ")) is None


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


def test_lists_of_objects_are_json_too() -> None:
    assert read_json('As [asked]: [{"a": 1}, {"b": [2]}] and more') == [{"a": 1}, {"b": [2]}]
    assert read_json('{"a": [1]}') == {"a": [1]}
    assert read_json("[]") == []
    for text in ("[1, 2]", '[{"a": NaN}]', '[{"a": 1, "a": 2}]', "none", '[{"a": 1}'):
        assert read_json(text) is None
