"""Classification: what is taken for labels, which are one, and what is right."""

from __future__ import annotations

import random

import pytest

from rows_of import loaded_of, of_targets, rows, task_of
from rung.evaluation.metrics import grade, measures
from rung.evaluation.tasks import doubts, tidy, understand
from rung.records import Completion, Example, Score, Task

LONG = (
    "Loan, overdraft or other credit that a person has taken out",
    "Transfer of money to or from an account held abroad today",
    "Card, cash machine or other means of paying in a shop here",
)


def test_classification_needs_few_short_labels_used_again() -> None:
    task = task_of(of_targets("spam", "ham", "ham ", times=10))
    assert (task.kind, task.labels, task.primary) == ("classification", ("ham", "spam"), "accuracy")
    assert task.why == "Classification: 30 of 30 targets are one of 2 short labels."
    assert task_of(of_targets("not toxic", "toxic", times=20)).kind == "classification"
    assert task_of(of_targets(*[f"intent {i}" for i in range(77)], times=6)).kind == "classification"
    assert task_of(of_targets(*[f"intent {i}" for i in range(77)], times=2)).kind == "generation"
    assert task_of(of_targets(*[f"answer {i}" for i in range(40)])).kind == "generation"
    assert task_of(of_targets("same", times=20)).kind == "generation"


def test_small_files_have_labels_too() -> None:
    task = task_of(of_targets("garden", "kitchen", "garage", "attic", times=2))
    assert (task.kind, len(task.labels)) == ("classification", 4)
    assert task_of(of_targets(*[f"topic {i}" for i in range(10)], times=4)).kind == "classification"
    assert task_of(of_targets("garden", "kitchen", "garage", "attic")).kind == "generation"


def test_the_number_of_words_does_not_matter_where_labels_come_back() -> None:
    task = task_of(of_targets(*LONG, times=20))
    assert (task.kind, set(task.labels)) == ("classification", set(LONG))
    assert task.why == "Classification: 60 of 60 targets are one of 3 labels."
    assert task_of(of_targets(*LONG, times=2)).kind == "generation"
    assert task_of(of_targets("x" * 201, "y" * 201, times=20)).kind == "generation"


def test_a_label_is_one_line() -> None:
    for hint in (None, "classification"):
        task = task_of(
            of_targets("Mood: good\nAdvice: go on", "Mood: bad\nAdvice: call", times=12), hint=hint
        )
        assert task.kind == "generation"


def test_a_few_odd_labels_do_not_matter() -> None:
    assert task_of(of_targets(*["yes", "no"] * 20, "maybe so")).kind == "classification"
    assert task_of(of_targets(*["yes", "no"] * 3, "maybe so")).kind == "classification"
    assert task_of(of_targets(*["yes", "no"] * 20, *[f"odd {i}" for i in range(5)])).kind == "generation"


@pytest.mark.parametrize(
    ("targets", "kind"),
    [
        (["garden"] * 15, "classification"),
        (["garden", "kitchen", "attic"], "classification"),
        ([f"topic {i}" for i in range(150)], "classification"),
        (list(LONG), "classification"),
        ([f"{LONG[0]} {i}" for i in range(20)] * 2, "classification"),
        ([f"{LONG[0]} {i}" for i in range(20)], "generation"),  # long, and none comes back
        ([f"topic {i}" for i in range(201)], "generation"),
        (["x" * 201, "y"] * 10, "generation"),
        (["f(x=1)", "g(x=1)"] * 10, "classification"),
        (['{"a": 1}', '{"a": 2}'] * 10, "extraction"),
    ],
)
def test_a_column_that_the_file_calls_labels(targets: list[str], kind: str) -> None:
    assert task_of(of_targets(*targets), hint="classification").kind == kind


def test_any_part_of_a_file_that_keeps_every_label_is_the_same_task() -> None:
    rng = random.Random(0)
    for _ in range(60):
        labels = [
            " ".join(rng.choice(("lamp", "pane", "hinge", "door")) for _ in range(rng.randint(1, 9)))
            + f" {i}"
            for i in range(rng.randint(1, 12))
        ]
        targets = labels + rng.choices(labels, k=rng.randint(0, 80))
        examples = of_targets(*targets)
        whole = task_of(examples, hint="classification")
        keep = {target: i for i, target in reversed(list(enumerate(targets)))}.values()
        part = [one for i, one in enumerate(examples) if i in keep or rng.random() < 0.4]
        rng.shuffle(part)
        assert whole.kind == "classification"
        for other in (examples[::-1], part):
            task = task_of(other, hint="classification")
            assert (task.kind, set(task.labels)) == ("classification", set(whole.labels))
        assert task_of(rng.sample(examples, len(examples)), hint="classification") == whole


def test_equal_labels_are_one_and_one_spelling_is_learned() -> None:
    targets = ["Thé", "Cafe\u0301", "Thé", "Café", " Thé", "Café "] * 5
    task, loaded = understand(loaded_of(of_targets(*targets)))
    assert task.labels == ("Café", "Thé")
    assert {example.target for example in loaded.examples} == {"Café", "Thé"}
    changed = loaded.examples[1]
    assert changed == rows([("question 0", "x"), ("question 1", "Café")])[1]
    spaced, loaded = understand(loaded_of(of_targets("not now", "now", "not\u00a0now", times=10)))
    assert spaced.labels == ("not now", "now")
    assert "\u00a0" not in "".join(example.target for example in loaded.examples)
    often, _ = understand(loaded_of(of_targets("Cafe\u0301", "Cafe\u0301", "Café", "Thé", times=10)))
    assert often.labels == ("Cafe\u0301", "Thé")


def test_a_group_stays_with_a_row_that_is_rewritten() -> None:
    from dataclasses import replace

    examples = [replace(one, group="g") for one in of_targets("yes ", "no", times=10)]
    _, loaded = understand(loaded_of(examples))
    assert {(one.target, one.group, one.source) for one in loaded.examples} == {
        ("yes", "g", ""),
        ("no", "g", ""),
    }


def test_labels_that_differ_only_by_case_stay_apart_and_are_named() -> None:
    task = task_of(of_targets(*["yes", " Yes", "YES ", "no"] * 5, *["Yes"] * 3))
    assert task.labels == ("Yes", "YES", "no", "yes")
    assert task.notes == ("labels that differ only by case: Yes, YES, yes",)
    both = task_of(of_targets("yes", "Yes", "no", "No", times=10))
    assert both.notes == ("labels that differ only by case: No, no; Yes, yes",)
    assert task_of(of_targets("yes", "no", times=10)).notes == ()


def test_labels_that_are_numbers() -> None:
    handicap = "otherwise prompting starts with a handicap"
    (note,) = task_of(of_targets("1", "0", times=10)).notes
    assert note == (
        "labels 0 and 1 are numbers: a base cannot know what they mean. Say it with --label-names "
        f"0=negative,1=positive; {handicap}"
    )
    (note,) = task_of(of_targets("-1", "1.0", times=10)).notes
    assert "labels -1 and 1.0" in note
    (note,) = task_of(of_targets(*[f"{i}.0" for i in range(4)], times=6)).notes
    assert note.startswith("labels 0.0, 1.0, 2.0, ... are numbers: a base cannot know what they mean.")
    assert note.endswith(
        f"{handicap}. Numbers are compared as text, so a near miss counts as wrong; if they are ratings, "
        "--metric mean_absolute_error says how far answers are off"
    )
    note, scale = task_of(of_targets(*[f"{i}.0" for i in range(1, 6)], times=6)).notes
    assert note.endswith(handicap)
    assert scale.startswith("labels are steps of a scale, 1.0 to 5.0: mean absolute error says how far")
    for targets in (("0", "1", "unsure"), ("1 star", "2 stars")):
        assert task_of(of_targets(*targets, times=10)).notes == ()


def test_rows_of_another_file_come_into_the_task_s_own_spelling() -> None:
    task = task_of(of_targets("good", "bad", times=20))
    assert [one.target for one in tidy(task, of_targets("Good", " BAD.", "mixed", "not good"))] == [
        "good", "bad", "mixed", "not good",
    ]  # fmt: skip
    numbers = task_of(of_targets("0", "1", times=20))
    assert [one.target for one in tidy(numbers, of_targets("0.0", "1.0", "-1", "2"))] == ["0", "1", "-1", "2"]


def test_what_labels_mean_is_kept_for_other_files() -> None:
    meanings = {"0": "negative", "1": "positive"}
    task = task_of(of_targets("negative", "positive", times=20), label_names=meanings)
    assert (task.meanings, task.notes) == (meanings, ())
    assert [one.target for one in tidy(task, of_targets("1", "negative", "0"))] == [
        "positive", "negative", "negative",
    ]  # fmt: skip


def graded(task: Task, target: str, text: str) -> Score:
    example = of_targets(target)[0]
    return grade(task, example, Completion(example.id, text, 1))


def test_either_spelling_of_a_label_is_right() -> None:
    task = task_of(of_targets("Thé", "Café", times=20))
    for target in ("Café", "Cafe\u0301"):
        for text in ("Café", "Cafe\u0301", "café.", "It is a cafe\u0301, I think"):
            score = graded(task, target, text)
            assert (score.answer, score.values) == ("Café", {"accuracy": 1.0})
            assert score.evidence == {"wanted": "Café", "got": "Café"}


def test_evidence_of_an_answer_that_cannot_be_read() -> None:
    task = task_of(of_targets("yes", "no", times=20))
    assert graded(task, "yes", "perhaps").evidence == {"wanted": "yes", "got": None}
    assert graded(task, "yes", "no").evidence == {"wanted": "yes", "got": "no"}


def test_macro_f1_by_hand() -> None:
    task = task_of(of_targets("a1", "b1", times=20))
    examples: list[Example] = of_targets("a1", "a1", "a1", "b1")
    texts = ["a1", "a1", "?", "a1"]
    scores = [
        grade(task, one, Completion(one.id, text, 1)) for one, text in zip(examples, texts, strict=True)
    ]
    found = {one.name: one.value for one in measures(task, examples, scores, texts)}
    assert found == {"accuracy": 0.5, "macro_f1": pytest.approx((2 * 2 / (2 * 2 + 1 + 1) + 0) / 2)}


def errors(task: Task, targets: list[str], texts: list[str]) -> list[float | None]:
    pairs = zip(targets, texts, strict=True)
    return [graded(task, target, text).values.get("absolute_error") for target, text in pairs]


def test_mean_absolute_error_by_hand_and_by_scikit_learn() -> None:
    from sklearn.metrics import mean_absolute_error

    task = task_of(of_targets("1", "2", "3", "4", "5", times=8))
    assert task.metrics == ("accuracy", "macro_f1", "mean_absolute_error")
    targets, texts = ["1", "4", "5", "2"], ["1", "3", "2", "4."]
    examples = of_targets(*targets)
    scores = [
        grade(task, one, Completion(one.id, text, 1)) for one, text in zip(examples, texts, strict=True)
    ]
    accuracy, _, error = measures(task, examples, scores, texts)
    assert (accuracy.value, error.value) == (0.25, (0 + 1 + 3 + 2) / 4)
    assert error.value == mean_absolute_error([1, 4, 5, 2], [1, 3, 2, 4])
    assert (error.higher_is_better, error.unit) == (False, "on the scale")
    assert error.low is not None
    assert error.high is not None
    assert error.low < error.value < error.high
    right = [grade(task, one, Completion(one.id, one.target, 1)) for one in examples]
    best = measures(task, examples, right, targets)[2]
    assert (best.value, best.low) == (0, 0)
    assert best.high is not None
    assert 0 < best.high < 4  # four right rows do not show that none is wrong


def test_an_answer_that_cannot_be_read_is_as_far_off_as_can_be() -> None:
    task = task_of(of_targets("1", "2", "3", "4", "5", times=8))
    assert errors(task, ["2", "5", "3"], ["who knows", "", "?"]) == [3, 4, 2]
    assert errors(task, ["no idea"], ["2"]) == [None]  # no number is wanted: the row does not count


def test_scales_of_words_and_of_names_for_numbers() -> None:
    task = task_of(of_targets("low", "medium", "high", times=10))
    assert errors(task, ["low", "high"], ["high", "medium"]) == [2, 1]
    named = task_of(
        of_targets("bad", "fine", "great", times=10), label_names={"1": "bad", "3": "fine", "4": "great"}
    )
    assert errors(named, ["bad", "great"], ["fine", "fine"]) == [2, 1]
    plain = task_of(of_targets("0", "1", "2", "3", times=10))
    assert plain.metrics == ("accuracy", "macro_f1")
    asked = understand(loaded_of(of_targets("0", "1", "2", "3", times=10)), None, "mean_absolute_error")[0]
    assert asked.metrics == ("mean_absolute_error", "accuracy", "macro_f1")
    assert errors(asked, ["0"], ["3"]) == [3]


def test_one_label_for_most_rows_is_said_with_what_it_is_worth() -> None:
    (note,) = task_of(of_targets(*["ham"] * 9, "spam", times=10)).notes
    assert note == (
        "90% of the rows have the label ham: to answer it always has an accuracy of 90% and a macro F1 of "
        "47%. Macro F1 counts every label the same; to choose by it: --metric macro_f1"
    )
    assert task_of(of_targets("ham", "ham", "spam", times=10)).notes == ()


def test_what_may_be_wrong_with_rows() -> None:
    task = task_of(of_targets("good", "bad", "Good", "good", times=10))
    assert dict(doubts(task, of_targets("good", "BAD", "fine", "Good", " ", "bad\u200b"))) == {
        2: "has 'BAD', which is read as 'bad': they differ by case, space or Unicode form",
        3: "has the label 'fine', which no train row has: correct it, or add train rows with it",
        4: "has the label 'Good', which differs from 'good' only by case, space or Unicode form: "
        "write it the same way if it means the same",
        6: "has the label 'bad\\u200b', which no train row has: correct it, or add train rows with it",
    }
    ratings = task_of(of_targets(*"12345" * 20, "55"))
    (row,) = doubts(ratings, of_targets("3", "55"))
    assert row == (
        2,
        "has the rating '55', which is outside of the scale 1 to 5: correct it, or leave the row out",
    )
