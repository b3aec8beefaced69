"""What is read of a row: its prompt turns, less the words that all rows share."""

from __future__ import annotations

import pytest

from rows_of import rows
from rung.data import example_of
from rung.ladder.classical.texts import Frame, last_question, whole_prompt
from rung.records import Message


def test_all_turns_before_the_target_are_read() -> None:
    turns = [Message("system", "Be kind."), Message("user", "one"), Message("assistant", "two")]
    example = example_of([*turns, Message("user", "three"), Message("assistant", "four")], 1)
    assert whole_prompt(example) == "Be kind.\none\ntwo\nthree"
    assert last_question(example) == "three"


def test_without_a_user_turn_the_question_is_the_prompt() -> None:
    example = example_of([Message("system", "Say a word."), Message("assistant", "word")], 1)
    assert last_question(example) == "Say a word."


@pytest.mark.parametrize(
    ("texts", "inside"),
    [
        (["Translate: the cat", "Translate: the dog"], ["cat", "dog"]),
        (["good film (answer now)", "bad film (answer now)"], ["good ", "bad "]),
        (["thermal", "then"], ["thermal", "then"]),
        (["same", "same"], ["same", "same"]),
        (["a b", "a b c"], ["b", "b c"]),
        (["x y", "x y x y"], ["y", "y x y"]),
        (["", "a"], ["", "a"]),
    ],
)
def test_frame(texts: list[str], inside: list[str]) -> None:
    frame = Frame.around(texts)
    assert [frame.inside(text).strip() for text in texts] == [text.strip() for text in inside]


def test_a_text_without_the_frame_stays_as_it_is() -> None:
    frame = Frame.around([whole_prompt(row) for row in rows([("Say: a", "x"), ("Say: b", "y")])])
    assert frame == Frame("Say: ")
    assert frame.inside("Tell: c") == "Tell: c"
