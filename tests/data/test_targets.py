"""Which column is the target: by name, by form, by values; two that are equally likely are refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rung.data.targets import give_target, kind_of
from rung.errors import DataError
from sheets import ASKED, LABELS, NUMBERS, SAID, N, sheet

SPANS = [[{"start": 0, "end": 5, "label": "ASK"}]] * N
TOKENS = [["a", "b"]] * N
TAGS = [["B-X", "O"]] * N
CODES = [[0, 1]] * N


@pytest.mark.parametrize(
    ("columns", "target", "kind"),
    [
        ({"text": ASKED, "label": LABELS}, "label", "label"),
        ({"text": ASKED, "sentiment": LABELS, "price": NUMBERS}, "sentiment", "label"),
        ({"question": ASKED, "answer": SAID}, "answer", "answer"),
        ({"question": ASKED, "target": LABELS}, "target", "label"),
        ({"question": ASKED, "target": SAID}, "target", "answer"),
        ({"question": ASKED, "answer": SAID, "category": LABELS}, "answer", "answer"),
        ({"instruction": ASKED, "code": SAID}, "code", "answer"),
        ({"code": ASKED, "summary": SAID}, "summary", "answer"),
        ({"text": ASKED, "label": [n % 3 for n in range(N)], "label_text": LABELS}, "label_text", "label"),
        ({"text": ASKED, "zebra": LABELS}, "zebra", "label"),
        ({"u": ASKED, "v": LABELS}, "v", "label"),
        ({"prompt": ASKED, "zebra": SAID}, "zebra", "answer"),
        ({"text": ASKED, "spots": SPANS}, "spots", "answer"),
        ({"tokens": TOKENS, "ner_tags": TAGS, "pos_tags": CODES}, "ner_tags", "answer"),
        ({"en": ASKED, "fr": SAID}, "fr", "answer"),
        ({"1": ASKED, "2": SAID}, "2", "answer"),
        ({"1": [f"{n}+{n}" for n in NUMBERS], "2": NUMBERS[::-1]}, "2", "answer"),
    ],
)
def test_one_target(columns: dict[str, Sequence[Any]], target: str, kind: str) -> None:
    made = sheet(columns)
    give_target(made)
    assert (made.parts["target"], made.parts.kind) == ([target], kind)


def test_labels_next_to_several_texts_of_unknown_names_are_asked_about() -> None:
    with pytest.raises(DataError, match="no column that is known to be the target; it could be 'w'"):
        give_target(sheet({"u": ASKED, "v": SAID, "w": LABELS}))
    made = sheet({"1": ASKED, "2": SAID, "3": LABELS})
    give_target(made)
    assert made.parts["target"] == ["3"]


def test_a_target_that_may_be_one_field_of_several_is_said() -> None:
    moves = ["on" if n % 2 else "off" for n in range(N)]
    made = sheet({"text": ASKED, "action": moves, "target": LABELS})
    give_target(made)
    assert made.parts["target"] == ["target"]
    said = "'action' could be learned as well, as one JSON object: --completion action,target"
    assert made.parts.notes == [said]


def test_what_the_form_of_a_target_says() -> None:
    made = sheet({"text": ASKED, "spots": SPANS})
    give_target(made)
    assert (made.parts.spans, made.parts.tags, made.parts["prompt"]) == (True, False, [])
    made = sheet({"tokens": TOKENS, "ner_tags": TAGS})
    give_target(made)
    assert (made.parts.spans, made.parts.tags, made.parts["prompt"]) == (False, True, ["tokens"])
    made = sheet({"de": ASKED, "en": SAID})
    give_target(made)
    assert made.parts["prompt"] == ["de"]
    assert "the other way round: --prompt en --completion de" in made.parts.notes[0]


def test_a_target_that_is_there_stays() -> None:
    made = sheet({"text": ASKED, "label": LABELS, "answer": SAID})
    made.take("target", "label")
    give_target(made)
    assert made.parts["target"] == ["label"]


def test_another_target_is_named_in_a_note() -> None:
    made = sheet({"question": ASKED, "answer": SAID, "category": LABELS})
    give_target(made)
    assert made.parts.notes == ["'category' could be the target as well; to learn it: --completion category"]


def test_one_text_alone_is_prompt_and_target() -> None:
    made = sheet({"text": ASKED, "url": [f"https://a.b/{n}" for n in range(N)]})
    give_target(made)
    assert made.parts.whole
    assert made.parts["prompt"] == ["text"]


@pytest.mark.parametrize(
    ("columns", "parts"),
    [
        (
            {"text": ASKED, "label": LABELS, "answer": SAID},
            [
                "could be the target: 'answer', 'label'",
                "--prompt text --completion answer`",
                "--label label`",
            ],
        ),
        (
            {"text": ASKED, "u": LABELS, "v": LABELS[::-1]},
            ["could be the target: 'u', 'v'", "--prompt text --completion u,v`", "--prompt text --label u`"],
        ),
        ({"en": ASKED, "fr": SAID, "de": SAID}, ["columns in 3 languages", "--prompt en --completion fr`"]),
        ({"u": ASKED, "v": SAID}, ["no column that is known to be the answer", "--prompt v --completion u`"]),
        (
            {"text": ASKED, "lable": list("abcdefghijkl")},
            ["no column that is known", "--prompt text --completion lable`"],
        ),
        ({"prompt": ASKED, "answer": [""] * N}, ["has an empty 'answer' in every row"]),
        ({"text": ASKED, "label": [None] * N}, ["has an empty 'label' in every row"]),
        ({"tokens": TOKENS, "x_tags": TAGS, "y_tags": TAGS}, ["could be the target: 'x_tags', 'y_tags'"]),
        ({"messages": [[{"a": 1}]] * N}, ["has turns without a role and a text in 'messages'"]),
    ],
)
def test_two_readings_are_refused(columns: dict[str, Sequence[Any]], parts: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        give_target(sheet(columns))
    assert [part for part in parts if part not in str(caught.value)] == []


def test_an_empty_target_does_not_stop_a_text_with_marks() -> None:
    made = sheet({"text": [f"### Human: {a}### Assistant: b" for a in ASKED], "label": [None] * N})
    give_target(made)
    assert made.parts.whole


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("label", SAID, "label"),
        ("answer", LABELS, "answer"),
        ("target", LABELS, "label"),
        ("target", SAID, "answer"),
        ("label", [{"a": 1}] * N, "answer"),
        ("zebra", LABELS, "answer"),
    ],
)
def test_kinds(name: str, values: Sequence[Any], kind: str) -> None:
    assert kind_of(sheet({name: values}).columns[name]) == kind


ANN = ["Ann Lee", "Bob Ray", "Cy Orr"] * (N // 3)
BITS = [n % 2 for n in range(N)]
FLAGS = [n // 2 % 2 for n in range(N)]
ONE = [[int(n % 3 == k) for n in range(N)] for k in range(3)]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("from", ANN),
        ("To", ANN),
        ("CC", ANN),
        ("bcc", ANN),
        ("Sender", ANN),
        ("recipient name", ANN),
        ("user", ANN),
        ("author_name", ANN),
        ("assigned_to", ANN),
        ("reported_by", ANN),
        ("Absender", ANN),
        ("posted", ["Mon", "Tue"] * 6),
        ("zebra", ["a@b.co", "c@d.org"] * 6),
        ("zebra", ["10:30", "11:45"] * 6),
        ("zebra", [1700000000, 1700000500] * 6),
        ("zebra", ["https://a.b", "https://c.d"] * 6),
        ("zebra", ["@ann", "@bob"] * 6),
    ],
)
def test_who_when_and_where_are_no_target(name: str, values: Sequence[Any]) -> None:
    made = sheet({"subject": ASKED, "body": SAID, name: values})
    with pytest.raises(DataError, match="no column that is known to be the answer"):
        give_target(made)


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ({"text": ASKED, "joy": BITS, "love": FLAGS, "hate": [0] * N}, "answer"),
        ({"text": ASKED, "joy": [b > 0 for b in BITS], "love": FLAGS, "spam": BITS}, "answer"),
        ({"text": ASKED, "art": ONE[0], "news": ONE[1], "sport": ONE[2]}, "label"),
        ({"zebra": ASKED, "art": ONE[0], "news": ONE[1], "sport": ONE[2], "author": ANN}, "label"),
    ],
)
def test_columns_of_0_and_1_name_the_labels(columns: dict[str, Sequence[Any]], kind: str) -> None:
    made = sheet(columns)
    give_target(made)
    labels = list(columns)[1:4]
    assert (made.parts["target"], made.parts.kind, made.parts.indicators) == (labels, kind, True)
    assert f", as one JSON object: --completion {','.join(labels)}" in made.parts.notes[0]


@pytest.mark.parametrize(
    "more",
    [
        {"is_new": BITS, "has_image": FLAGS, "is_bold": ONE[0]},  # facts about the row, or labels
        {"joy": BITS, "love": FLAGS},
        {"car": ["yes", "no"] * 6, "dog": ["yes", "no", "no"] * 4, "cat": ["no", "yes"] * 6},
        {"joy": BITS, "love": FLAGS, "hate": [*BITS[1:], None]},
        {"joy": BITS, "love": FLAGS, "hate": ONE[0], "zebra": LABELS},
    ],
)
def test_columns_of_0_and_1_that_may_be_something_else_are_asked_about(
    more: dict[str, Sequence[Any]],
) -> None:
    with pytest.raises(DataError, match="has several columns that could be the target"):
        give_target(sheet({"text": ASKED, **more}))


def test_a_label_wins_over_columns_of_0_and_1() -> None:
    made = sheet({"text": ASKED, "label": LABELS, "bold": BITS, "long": FLAGS, "new": ONE[0]})
    give_target(made)
    assert made.parts["target"] == ["label"]


def test_a_word_and_its_tag_in_each_row_are_asked_about() -> None:
    with pytest.raises(DataError, match="--prompt 1 --completion 2"):
        give_target(sheet({"1": [f"w{chr(97 + n)}" for n in range(N)], "2": ["NOUN", "VERB"] * 6}))
