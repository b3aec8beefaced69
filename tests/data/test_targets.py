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
