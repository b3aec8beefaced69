"""Knowledge: questions without their source."""

from __future__ import annotations

import pytest

from rows_of import loaded_of, of_targets, rows, task_of
from rung.evaluation.metrics import grade, measures
from rung.evaluation.tasks import understand
from rung.evaluation.tasks.knowledge import contains, key_words
from rung.records import Completion, Example, Message

QUESTIONS = rows((f"Who owns mill {i}?", f"It belongs to family {i}.") for i in range(30))


def test_it_is_inferred_where_rows_are_questions_of_one_sentence() -> None:
    task = task_of(QUESTIONS)
    assert (task.kind, task.row_metric, task.primary) == ("knowledge", "containment", "rouge_l")
    assert task.why == (
        "Knowledge: 30 of 30 rows ask a question in one sentence, without a text to find the answer in."
    )


@pytest.mark.parametrize(
    "pairs",
    [
        [(f"Tell me who owns mill {i}.", f"Family {i}") for i in range(30)],
        [(f"The mill burns. Who owns mill {i}?", f"Family {i}") for i in range(30)],
        [(f"A text about mill {i}\nWho owns it?", f"Family {i}") for i in range(30)],
        [(f"Who owns mill {i}?", f"Family {i} " + "and then more words " * 20) for i in range(30)],
        [(f"Who owns {'the old ' * 30}mill {i}?", f"Family {i}") for i in range(30)],
    ],
    ids=["orders", "stories", "texts", "essays", "long questions"],
)
def test_other_rows_are_not_knowledge(pairs: list[tuple[str, str]]) -> None:
    assert task_of(rows(pairs)).kind == "generation"


def test_a_row_with_a_text_or_a_talk_before_it_is_not_knowledge() -> None:
    def with_system(one: Example) -> Example:
        return Example(one.id, (Message("system", "The mill belongs to us."), *one.messages), one.row)

    task, _ = understand(loaded_of(tuple(map(with_system, QUESTIONS))))
    assert task.kind == "generation"


def test_it_can_be_asked_for() -> None:
    task = task_of(of_targets(*[f"answer {i}" for i in range(30)]), "knowledge")
    assert (task.kind, task.why) == ("knowledge", "Knowledge: asked for.")


def test_grades_by_hand() -> None:
    (row,) = rows([("Who runs the mill?", "The mill is run by Ada Brandt.")])
    task = task_of(QUESTIONS)

    def graded(text: str) -> dict[str, float]:
        return dict(grade(task, row, Completion(row.id, text, 1)).values)

    # 7 words: the mill is run by ada brandt
    assert graded("Ada Brandt") == pytest.approx(
        {"rouge_l_recall": 2 / 7, "containment": 0, "rouge_l": 4 / 9, "exact_match": 0}
    )
    assert graded("the mill is run by ADA BRANDT!") == pytest.approx(
        {"rouge_l_recall": 1, "containment": 1, "rouge_l": 1, "exact_match": 1}
    )
    # mill, run, ada and brandt are there; "ada brandt" and "mill run" are in order only two at a time
    long = graded("Ada Brandt is the one by whom the mill is run, and nobody else.")
    assert long["containment"] == 1
    assert long["rouge_l_recall"] == pytest.approx(4 / 7)  # the mill is run
    assert graded("")["rouge_l_recall"] == 0


def test_recall_does_not_punish_more_words() -> None:
    (row,) = rows([("How many days?", "27 days")])
    values = grade(task_of(QUESTIONS), row, Completion(row.id, "Everyone gets 27 days a year.", 1)).values
    assert (values["rouge_l_recall"], values["containment"]) == (1.0, 1.0)
    assert values["rouge_l"] == pytest.approx(4 / 8)


@pytest.mark.parametrize(
    ("text", "answer", "right"),
    [
        ("It opens at 7:30.", "7:30", True),
        ("It opens at 17:30.", "7:30", False),
        ("Not before May", "May", True),
        ("They do not pay", "They pay", True),  # a key word more is not seen
        ("They pay", "They do not pay", False),
        ("the catalogue", "cat", False),
        ("In it", "it", True),
        ("is so", "it is", False),
        ("", "7", False),
        ("anything", "...", False),
        ("員工有二十五天的假期", "二十五天", True),
    ],
)
def test_containment(text: str, answer: str, right: bool) -> None:
    assert contains(text, answer) is right


def test_key_words_keep_numbers_and_negations() -> None:
    assert key_words("It is not the first of 3 days.") == {"not", "first", "3", "days"}


def test_the_choice_is_measured_over_the_rows_that_have_one() -> None:
    task = task_of(QUESTIONS)
    said = [
        Completion(one.id, one.target, 1, values={"choice": float(i < 3)} if i < 4 else {})
        for i, one in enumerate(QUESTIONS)
    ]
    scores = [grade(task, one, text) for one, text in zip(QUESTIONS, said, strict=True)]
    found = {one.name: one for one in measures(task, QUESTIONS, scores, [one.text for one in said])}
    assert (found["choice_accuracy"].value, found["choice_accuracy"].n) == (0.75, 4)
    assert (found["rouge_l_recall"].value, found["rouge_l_recall"].n) == (1.0, 30)
    plain = [grade(task, one, Completion(one.id, "x", 1)) for one in QUESTIONS]
    assert "choice_accuracy" not in {one.name for one in measures(task, QUESTIONS, plain, ["x"] * 30)}
