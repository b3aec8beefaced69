"""Scales: which labels are steps of one, and the number of each."""

from __future__ import annotations

from collections import Counter

import pytest

from rung.evaluation.scales import main_labels, number_in, scale_of, worded_scale


@pytest.mark.parametrize(
    ("label", "number"),
    [
        ("4", 4), ("4.5", 4.5), ("4,5", 4.5), ("-1", -1), ("4 stars", 4), ("4/5", 4), ("4 out of 5", 4),
        ("★★★☆☆", 3), ("4 - good", 4),
        ("good", None), ("1-2", None), ("2 of 3 and 4", None), ("", None), ("v1.2.3", None),
    ],
)  # fmt: skip
def test_the_number_in_a_label(label: str, number: float | None) -> None:
    assert number_in(label) == number


@pytest.mark.parametrize(
    ("labels", "column", "steps"),
    [
        (["1", "2", "3", "4", "5"], "label", [1, 2, 3, 4, 5]),
        (["1 star", "2 stars", "3 stars"], "label", [1, 2, 3]),
        (["0", "1", "2", "3"], "label", []),  # may be names of classes
        (["0", "1", "2", "3"], "stars", [0, 1, 2, 3]),
        (["0", "2", "4"], "review_rating", [0, 2, 4]),
        (["medium", "Low", "high"], "label", [2, 1, 3]),
        (["1 low", "2 medium", "3 high"], "label", [1, 2, 3]),
        (["1 sport", "2 world", "3 news"], "label", []),
        (["yes", "no", "maybe"], "rating", []),
        (["1", "2"], "stars", []),  # two steps say no more than accuracy
        ([str(i) for i in range(77)], "stars", []),
        (["1", "1.0", "2"], "stars", []),
    ],
)
def test_which_labels_are_a_scale(labels: list[str], column: str, steps: list[float]) -> None:
    found = scale_of(labels, {}, [column])
    assert [found[label] for label in labels if found] == steps


def test_names_that_the_user_gave_to_numbers() -> None:
    meanings = {"0": "low", "1": "medium", "2": "high"}
    assert scale_of(["high", "low", "medium"], meanings, ["label"]) == {"high": 2, "low": 0, "medium": 1}


def test_words_of_one_scale() -> None:
    assert worded_scale(["never", "always", "often"]) == {"never": 1, "often": 2, "always": 3}
    assert worded_scale(["never", "good", "often"]) == {}
    assert worded_scale(["moderate", "medium", "low"]) == {}  # two names of one step


def test_one_wrong_row_does_not_stretch_a_scale() -> None:
    counts = Counter({"1": 40, "2": 40, "3": 40, "55": 1})
    assert main_labels(counts) == ["1", "2", "3"]
    assert main_labels(Counter({"1": 1, "2": 1, "3": 1})) == ["1", "2", "3"]
