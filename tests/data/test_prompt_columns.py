"""Which columns are the prompt, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rung.config import Columns
from rung.data.prompt_columns import give_prompt
from rung.data.targets import give_target
from rung.errors import DataError
from sheets import ASKED, LABELS, NUMBERS, SAID, N, sheet

SHORT = [f"w{chr(97 + n)} x" for n in range(N)]
HELP = [f"look at number {n} of the list" for n in range(N)]
BOTH = [f"{ask} and {said}" for ask, said in zip(ASKED, SAID, strict=True)]


def prompt(columns: dict[str, Sequence[Any]], said: Columns | None = None) -> list[str]:
    made = sheet(columns, said)
    if said and said.completion:
        made.take("target", *said.completion)
    give_target(made)
    give_prompt(made)
    return made.parts["prompt"]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"text": ASKED, "label": LABELS}, ["text"]),
        ({"label": LABELS, "title": SHORT, "text": ASKED}, ["title", "text"]),
        ({"question1": ASKED, "question2": SAID, "label": LABELS}, ["question1", "question2"]),
        ({"question": ASKED, "context": SAID, "answer": SHORT}, ["context", "question"]),
        ({"input": SHORT, "instruction": ASKED, "output": SAID}, ["instruction", "input"]),
        ({"context": SAID, "instruction": ASKED, "output": SHORT}, ["instruction", "context"]),
        ({"review_text": ASKED, "stars": LABELS}, ["review_text"]),
        ({"dialog": ASKED, "label": LABELS}, ["dialog"]),
        ({"question": ASKED, "A": SHORT, "B": SHORT, "answer": LABELS}, ["question", "A", "B"]),
        ({"question": ASKED, "choices": [["a", "b"]] * N, "answer": LABELS}, ["question", "choices"]),
        ({"text": ASKED, "label": LABELS, "price": NUMBERS, "date": ["2024-01-02"] * N}, ["text"]),
        ({"text": NUMBERS, "zebra": ASKED, "label": LABELS}, ["zebra"]),
        ({"u": ASKED, "label": LABELS}, ["u"]),
        ({"question": ASKED, "zebra": HELP, "answer": SAID}, ["question", "zebra"]),
        ({"Vraag": ASKED, "Hulp": HELP, "Antwoord": SAID}, ["Vraag", "Hulp"]),
        ({"u": SHORT, "label": LABELS}, ["u"]),
    ],
)
def test_prompts(columns: dict[str, Sequence[Any]], expected: list[str]) -> None:
    assert prompt(columns) == expected


def test_a_target_of_the_user_makes_every_other_column_a_prompt() -> None:
    columns = {"a": ASKED, "b": SHORT, "c": LABELS, "d": [""] * N}
    assert prompt(columns, Columns(completion=("c",))) == ["a", "b"]


def test_a_column_that_holds_the_answer_is_left_out_and_said() -> None:
    made = sheet({"instruction": ASKED, "output": SAID, "text": BOTH})
    give_target(made)
    give_prompt(made)
    assert made.parts["prompt"] == ["instruction"]
    assert made.parts.notes == ["'text' holds prompt and answer, so it is not part of the prompt"]


def test_a_context_that_holds_the_answer_stays() -> None:
    passages = [f"Long before. {said} And after that." for said in SAID]
    made = sheet({"context": passages, "question": ASKED, "answer": SAID})
    give_target(made)
    give_prompt(made)
    assert made.parts["prompt"] == ["context", "question"]
    assert made.parts.notes == []


def test_an_unknown_text_next_to_a_prompt_is_refused_with_both_commands() -> None:
    with pytest.raises(DataError) as caught:
        prompt({"zebra": SAID, "text": ASKED, "label": LABELS})
    text = str(caught.value)
    assert "has the text column 'zebra' that could belong to the prompt or not" in text
    assert (
        "--prompt zebra,text --completion label` or `rung check rows.csv --prompt text --completion" in text
    )


def test_a_prompt_that_is_there_stays() -> None:
    made = sheet({"text": ASKED, "title": SHORT, "label": LABELS})
    made.take("prompt", "title")
    give_prompt(made)
    assert made.parts["prompt"] == ["title"]


@pytest.mark.parametrize(
    "columns",
    [
        {"question": ASKED, "answer": SAID, "zebra": HELP},
        {"zebra": HELP, "question": ASKED, "answer": SAID},
        {"question": ASKED, "zebra": [f"so {said}" for said in SAID], "answer": SAID},
        {"question": ASKED, "zebra": HELP, "label": LABELS},
    ],
)
def test_a_text_that_is_not_between_question_and_answer_or_gives_it_away(
    columns: dict[str, Sequence[Any]],
) -> None:
    with pytest.raises(DataError, match="'zebra' that could belong to the prompt or not"):
        prompt(columns)


def test_a_text_between_question_and_answer_is_said() -> None:
    made = sheet({"question": ASKED, "help": HELP, "answer": SAID})
    give_target(made)
    give_prompt(made)
    assert made.parts.notes == ["'help' is read as part of the prompt; without: --prompt question"]
