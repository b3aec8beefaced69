"""What is read of a row: its prompt turns."""

from __future__ import annotations

from rung.data import example_of
from rung.ladder.classical.texts import last_question, whole_prompt
from rung.records import Message


def test_all_turns_before_the_target_are_read() -> None:
    turns = [Message("system", "Be kind."), Message("user", "one"), Message("assistant", "two")]
    example = example_of([*turns, Message("user", "three"), Message("assistant", "four")], 1)
    assert whole_prompt(example) == "Be kind.\none\ntwo\nthree"
    assert last_question(example) == "three"


def test_without_a_user_turn_the_question_is_the_prompt() -> None:
    example = example_of([Message("system", "Say a word."), Message("assistant", "word")], 1)
    assert last_question(example) == "Say a word."
