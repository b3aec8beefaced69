"""Where passages stand in a prompt."""

from __future__ import annotations

from rows_of import rows, task_of
from rung.data.passages import passage
from rung.ladder.showing import with_passages
from rung.records import Example, Message

TASK = task_of(rows([("q", "a")]), "knowledge")
BEST, NEXT = passage("Tea is at four.", "Tea"), passage("Mail is at nine.")
ROW = rows([("When is tea?", "At four.")])[0]


def test_the_most_similar_passage_stands_next_to_the_question() -> None:
    before = with_passages(TASK, ROW, (BEST, NEXT), "before")
    assert before.prompt[-1].content == (
        "Documents:\n\nMail is at nine.\n\nTea\nTea is at four.\n\nQuestion: When is tea?"
    )
    after = with_passages(TASK, ROW, (BEST, NEXT), "after")
    assert after.prompt[-1].content == (
        "Question: When is tea?\n\nDocuments:\n\nTea\nTea is at four.\n\nMail is at nine."
    )
    assert (before.id, before.target, before.row) == (ROW.id, ROW.target, ROW.row)


def test_all_passages_stand_before_everything_in_their_order() -> None:
    shown = with_passages(TASK, ROW, (BEST, NEXT), "system")
    assert shown.messages[0] == Message("system", "Documents:\n\nTea\nTea is at four.\n\nMail is at nine.")
    assert shown.messages[1:] == ROW.messages


def test_without_passages_or_a_question_of_the_user() -> None:
    assert with_passages(TASK, ROW, (), "before") is ROW
    alone = Example("x", (Message("system", "s"), Message("assistant", "a")), 1)
    shown = with_passages(TASK, alone, (NEXT,), "before")
    assert [turn.role for turn in shown.messages] == ["system", "system", "assistant"]


def test_only_the_last_turn_of_the_user_changes() -> None:
    turns = (Message("user", "Hi"), Message("assistant", "Yes?"), *ROW.messages)
    shown = with_passages(TASK, Example("x", turns, 1), (NEXT,), "before")
    assert shown.messages[:2] == turns[:2]
    assert shown.messages[2].content == "Documents:\n\nMail is at nine.\n\nQuestion: When is tea?"
