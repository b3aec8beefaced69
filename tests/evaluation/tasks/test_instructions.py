"""Instructions: rows with rules, and rows with answers."""

from __future__ import annotations

from typing import Any

import pytest

from rows_of import loaded_of, rows
from rung.data import example_of
from rung.evaluation.judging import judge
from rung.evaluation.metrics import grade
from rung.evaluation.tasks import understand, unreadable
from rung.records import Completion, Example, Message


def ruled(names: Any, arguments: Any, row: int = 1) -> Example:
    facts = {"rules": {"names": names, "arguments": arguments}}
    return example_of([Message("user", f"do {row}"), Message("assistant", "")], row, facts=facts)


NO_COMMA, WORDS = "punctuation:no_comma", "length_constraints:number_words"
TWO = ruled([NO_COMMA, WORDS], [{}, {"num_words": 3, "relation": "at least"}])
TASK, _ = understand(loaded_of([TWO], "instructions"))


@pytest.mark.parametrize(
    ("text", "strict", "loose", "followed"),
    [
        ("one two three", 1, 1, 2),
        ("one, two, three", 0, 0, 1),
        ("Here, it is:\none two three", 0, 1, 1),  # without its first line
        ("one, two", 0, 0, 0),
    ],
)
def test_a_prompt_is_followed_where_all_its_rules_are(
    text: str, strict: int, loose: int, followed: int
) -> None:
    score = grade(TASK, TWO, Completion(TWO.id, text, 1))
    assert score.values["prompt_strict"] == strict
    assert score.values["prompt_loose"] == loose
    assert (score.values["followed_strict"], score.values["rules"]) == (followed, 2)
    assert [one["right"] for one in score.evidence["fields"]].count(True) == followed


def test_levels_of_prompts_and_of_rules() -> None:
    other = ruled([NO_COMMA], None, 2)  # no arguments at all
    said = [Completion(TWO.id, "one, two three", 1), Completion(other.id, "fine", 1)]
    found = {one.name: one.value for one in judge(TASK, [TWO, other], said).metrics}
    assert found["prompt_strict"] == 0.5
    assert found["instruction_strict"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("names", "arguments", "said"),
    [
        (["x:y"], [{}], "no rule 'x:y'"),
        ("x:y", [{}], "not a list of texts"),
        ([NO_COMMA], [], "1 name, and kwargs"),
        ([WORDS], [{"num_words": "many", "relation": "at least"}], "needs a number as 'num_words'"),
        ([NO_COMMA] * 101, None, "more than 100"),
    ],
)
def test_rules_that_cannot_be_checked(names: Any, arguments: Any, said: str) -> None:
    bad = ruled(names, arguments)
    ((row, why),) = unreadable(TASK, [bad])
    assert row == 1
    assert said in why
    assert grade(TASK, bad, Completion(bad.id, "text", 1)).status == "error"


def test_a_row_with_an_answer_alone_is_compared_with_it() -> None:
    (row,) = rows([("q", "the right answer")])
    assert grade(TASK, row, Completion(row.id, "the right answer", 1)).values["prompt_strict"] == 1
    assert 0 < grade(TASK, row, Completion(row.id, "the answer", 1)).values["prompt_strict"] < 1
    assert unreadable(TASK, [row]) == []
