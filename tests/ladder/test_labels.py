"""Labels that only the test rows have."""

from __future__ import annotations

import pytest

from rung.data.formats import example_of
from rung.errors import DataError
from rung.ladder.labels import unknown_labels
from rung.records import Example, Message, Task


def rows(*labels: str) -> list[Example]:
    return [
        example_of([Message("user", f"text {n}"), Message("assistant", label)], row=n, source="test.csv")
        for n, label in enumerate(labels, start=1)
    ]


def task_of(*labels: str, meanings: dict[str, str] | None = None) -> Task:
    return Task("classification", "", ("accuracy",), labels=labels, meanings=meanings or {})


GOOD_BAD = task_of("good", "bad")


def test_known_labels_need_no_word() -> None:
    assert unknown_labels(GOOD_BAD, rows("bad", "good")) == ""


@pytest.mark.parametrize(
    ("learned", "tested"),
    [
        ("good", "GOOD"),
        ("cafe\u0301", "caf\u00e9"),
        ("a b", "a\u00a0b"),
        ("good", " good "),
        ("stra\u00dfe", "STRASSE"),
    ],
)
def test_labels_that_grading_takes_as_the_same_are_known(learned: str, tested: str) -> None:
    task = task_of(learned, "other")
    assert unknown_labels(task, rows(tested)) == ""


def test_unknown_labels_are_named_with_their_rows() -> None:
    assert unknown_labels(GOOD_BAD, rows("good", "mixed", "odd", "mixed")) == (
        "labels that no train row has, so that they cannot be learned: 'mixed' (2 rows), 'odd' (1 row)"
    )


def test_where_no_label_is_known_both_lists_are_given() -> None:
    task = task_of("1", "0")
    with pytest.raises(DataError) as caught:
        unknown_labels(task, rows("0.0", "1.0", "1.0", ""))
    assert str(caught.value) == (
        "test.csv: no row has a label that the train rows have: the 3 rows have "
        "'1.0' (2 rows), '0.0' (1 row). "
        "The labels of the train rows are '1', '0'. Write the labels of both files in the same way."
    )


def test_a_long_list_is_cut_and_says_so() -> None:
    found = unknown_labels(GOOD_BAD, rows("good", *(f"label {n}" for n in range(30))))
    assert found.endswith("'label 7' (1 row) and 22 more")


def test_a_task_without_labels_has_no_unknown_ones() -> None:
    task = Task("generation", "", ("rouge_l",))
    assert unknown_labels(task, rows("anything")) == ""


def test_a_label_whose_meaning_is_known_is_known() -> None:
    assert unknown_labels(task_of("no", "yes", meanings={"0": "no", "1": "yes"}), rows("0", "1")) == ""
