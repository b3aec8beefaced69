"""One row becomes one example by the parts of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from rung.config import Columns
from rung.data.names import Part
from rung.data.parts import Parts
from rung.data.reading import RowFile
from rung.data.rows import Builder, Built
from rung.data.strict_json import RowError

Of = dict[Part, list[str]]
TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
PAIR: Of = {"prompt": ["p"], "target": ["t"]}


def builder(
    of: Of, said: Columns | None = None, names: Mapping[str, Sequence[str]] | None = None, **more: Any
) -> Builder:
    source = RowFile("a.csv", "a.csv", "", "csv", [], class_names=names or {})
    return Builder(Parts(of, **more), said or Columns(), source)


def said(made: Built | str) -> list[tuple[str, str]]:
    assert isinstance(made, Built)
    return [(message.role, message.content) for message in made.messages]


@pytest.mark.parametrize(
    ("of", "row", "messages"),
    [
        (PAIR, {"p": "a", "t": "b"}, ["user a", "assistant b"]),
        (PAIR, {"p": "a", "t": None}, ["user a", "assistant "]),
        (PAIR, {"p": TURNS[:1], "t": TURNS[1:]}, ["user a", "assistant b"]),
        (PAIR, {"p": TURNS[:1], "t": TURNS}, ["user a", "assistant b"]),
        (PAIR, {"p": "a", "t": TURNS[1]}, ["user a", "assistant b"]),
        (PAIR, {"p": "a", "t": {"x": 1, "y": ["z"]}}, ["user a", 'assistant {"x": 1, "y": ["z"]}']),
        (PAIR, {"p": "a", "t": [{"name": "f", "arguments": {"x": 1}}]}, ["user a", "assistant f(x=1)"]),
        (PAIR, {"p": "a", "t": '{"name": "f", "arguments": {}}'}, ["user a", "assistant f()"]),
        (PAIR, {"p": "a", "t": {"text": ["b", "c"], "answer_start": [0, 1]}}, ["user a", "assistant b"]),
        (
            {"prompt": ["x", "y"], "target": ["t"]},
            {"x": "a", "y": "", "t": "b"},
            ["user x: a\ny: ", "assistant b"],
        ),
        (
            {"prompt": ["instruction", "input"], "target": ["t"]},
            {"instruction": "a", "input": "c", "t": "b"},
            ["user a\n\nc", "assistant b"],
        ),
        (
            {"prompt": ["context", "question"], "target": ["t"]},
            {"context": "c", "question": "a", "t": "b"},
            ["user c\n\na", "assistant b"],
        ),
        (
            {"prompt": ["question", "choices"], "target": ["t"]},
            {"question": "a", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "t": "B"},
            ["user question: a\nchoices: A. x\nB. y", "assistant B"],
        ),
        (
            {"prompt": ["p"], "target": ["t", "u"]},
            {"p": "a", "t": "b", "u": " "},
            ["user a", 'assistant {"t": "b", "u": null}'],
        ),
        ({"conversation": ["c"]}, {"c": TURNS}, ["user a", "assistant b"]),
        ({"conversation": ["c"], "target": ["t"]}, {"c": TURNS[:1], "t": "b"}, ["user a", "assistant b"]),
        (
            {"conversation": ["c"], "system": ["s"]},
            {"c": TURNS, "s": "S"},
            ["system S", "user a", "assistant b"],
        ),
        ({**PAIR, "system": ["s"]}, {"p": "a", "t": "b", "s": None}, ["user a", "assistant b"]),
        (
            {**PAIR, "system": ["s"], "tools": ["f"]},
            {"p": "a", "t": "b", "s": {"parts": [{"text": "S"}]}, "f": [{"name": "g"}]},
            ['system S\n\nTools:\n[{"name": "g"}]', "user a", "assistant b"],
        ),
        (
            {"conversation": ["c"], "system": ["s"]},
            {"c": [{"role": "system", "content": "R"}, *TURNS], "s": "S"},
            ["system R\n\nS", "user a", "assistant b"],
        ),
        (
            {**PAIR, "history": ["h"]},
            {"p": "a", "t": "b", "h": [["c", "d"]]},
            ["user c", "assistant d", "user a", "assistant b"],
        ),
    ],
)
def test_messages(of: Of, row: dict[str, Any], messages: list[str]) -> None:
    assert said(builder(of).read(row)) == [tuple(message.split(" ", 1)) for message in messages]


def test_labels_are_stripped_and_given_their_names() -> None:
    made = builder(PAIR, Columns(label_names={"0": "no"}), kind="label")
    assert said(made.read({"p": "a", "t": " 0 "}))[-1] == ("assistant", "no")
    assert said(made.read({"p": "a", "t": 1}))[-1] == ("assistant", "1")


def test_class_names_of_the_file() -> None:
    made = builder(PAIR, None, {"t": ["no", "yes"]}, kind="label")
    found = [said(made.read({"p": "a", "t": value}))[-1][1] for value in (0, 1, -1, [0, 1])]
    assert found == ["no", "yes", "", '["no", "yes"]']
    assert made.notes() == ["the numbers in 't' are read by the class names in the file (no, yes)"]


def test_spans_and_tags() -> None:
    made = builder(PAIR, spans=True)
    spans = [{"start": 0, "end": 3, "label": "PER"}]
    assert said(made.read({"p": "Ada left", "t": spans}))[-1] == ("assistant", '{"PER": ["Ada"]}')
    assert said(made.read({"p": "Ada left", "t": []}))[-1] == ("assistant", "{}")
    assert said(made.read({"p": "No Ada", "t": [{**spans[0], "text": "Ada"}]}))[-1][1] == '{"PER": ["Ada"]}'
    assert made.notes() == ["in 1 row an entity's own words are not at its place; the words count"]
    made = builder(PAIR, None, {"t": ["O", "B-PER"]}, tags=True)
    row = {"p": ["Ada", "left"], "t": [1, 0]}
    assert said(made.read(row)) == [("user", "Ada left"), ("assistant", '{"PER": ["Ada"]}')]
    with pytest.raises(RowError, match="which are not BIO tags, one for each word"):
        made.read({"p": ["Ada"], "t": [1, 0]})


@pytest.mark.parametrize(
    ("of", "row", "why"),
    [
        (
            {**PAIR, "wanted": ["w"]},
            {"p": "a", "t": "b", "w": False},
            "'w' is false, which marks an answer as unwanted",
        ),
        (
            {**PAIR, "weight": ["w"]},
            {"p": "a", "t": "b", "w": 0},
            "'w' is 0, which marks a row that is not to be",
        ),
        (PAIR, {"p": " ", "t": "b"}, "it has no user or system text before the target"),
        ({"conversation": ["c"]}, {"c": [TURNS[0], {**TURNS[1], "weight": 0}]}, "its target has weight 0"),
    ],
)
def test_rows_that_are_no_examples(of: Of, row: dict[str, Any], why: str) -> None:
    found = builder(of).read(row)
    assert isinstance(found, str)
    assert found.startswith(why)


@pytest.mark.parametrize("wanted", [True, None, "1", ""])
def test_wanted_rows_stay(wanted: Any) -> None:
    assert isinstance(builder({**PAIR, "wanted": ["w"]}).read({"p": "a", "t": "b", "w": wanted}), Built)


@pytest.mark.parametrize(
    ("of", "row", "part"),
    [
        (PAIR, {"p": "a"}, r"lacks 't' \(it has 'p'\)"),
        (PAIR, {"t": "b"}, r"lacks 'p' \(it has 't'\)"),
        ({"conversation": ["c"]}, {}, r"lacks 'c' \(it has nothing\)"),
        ({"conversation": ["c"]}, {"c": TURNS[:1]}, "has no assistant turn"),
        (
            {"conversation": ["c"]},
            {"c": [TURNS[0], {"role": "system", "content": "s"}, TURNS[1]]},
            "not the first",
        ),
    ],
)
def test_rows_that_cannot_be_used(of: Of, row: dict[str, Any], part: str) -> None:
    with pytest.raises(RowError, match=part):
        builder(of).read(row)


def test_a_whole_text_has_no_prompt() -> None:
    made = builder({"prompt": ["p"]}, whole=True)
    assert said(made.read({"p": "a"})) == [("assistant", "a")]
    assert made.read({"p": " "}) == "its text is empty"


def test_groups() -> None:
    made = builder({**PAIR, "group": ["g"]}).read({"p": "a", "t": "b", "g": 7})
    assert isinstance(made, Built)
    assert made.group == "7"


def test_what_was_met_is_said_once() -> None:
    made = builder({"conversation": ["c"], "rejected": ["r"]})
    thinking = [{"type": "thinking", "text": "hm"}, {"type": "text", "text": "b"}]
    for _ in range(2):
        made.read(
            {"c": [{**TURNS[0], "mood": "x"}, {"role": "assistant", "content": thinking}, TURNS[0]], "r": "n"}
        )
    made.read({"c": ["a", "b"], "r": "n"})
    assert made.notes() == [
        "keys of a turn that are not used: 'mood'",
        "2 parts of reasoning left out of the answers",
        "turns after the last answer left out in 2 rows",
        "turns without roles in 1 row are read as user, assistant, user, ...",
    ]
