"""The score to beat: what earlier rungs had on dev."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rung.ladder.bar import Bar, bound_of, error_of, highest, lucky, of_measure, of_result
from rung.records import Choice, Measure, Quote, Result, Task


def result(kind: Any, *choices: Choice, dev_rows: int = 40, train_rows: int = 0) -> Result:
    quote = Quote("x", True, dev_rows=dev_rows, train_rows=train_rows)
    return Result("x", "x", "ok", 1, "tiny", "ab", quote=quote, choices=choices, kind=kind)


def test_the_bound_is_that_of_the_metric() -> None:
    assert bound_of(Task("classification", "", ("accuracy",))) == 1.0
    assert bound_of(Task("translation", "", ("chrf",))) == 100.0


def test_the_error_is_that_of_a_share() -> None:
    assert error_of(0.5, 100, 1.0) == pytest.approx(0.05)
    assert error_of(50.0, 100, 100.0) == pytest.approx(5.0)
    assert 0 < error_of(1.0, 100, 1.0) < 0.01
    assert error_of(0.0, 0, 1.0) == pytest.approx(0.5)


def test_the_best_of_many_is_lucky() -> None:
    assert lucky(1) == 0.0
    assert lucky(2) == pytest.approx(0.589, abs=0.01)  # 0.564 exactly
    assert lucky(10) == pytest.approx(1.546, abs=0.01)  # 1.539 exactly


def test_a_measure_has_its_error_in_its_interval() -> None:
    found = of_measure("lora", Measure("accuracy", 0.5, 0.402, 0.598), "tune")
    assert found == Bar("lora", 0.5, pytest.approx(0.05), "tune")
    assert of_measure("lora", Measure("accuracy", None)) is None
    assert of_measure("lora", None) is None


def test_prompting_is_judged_by_its_last_choice() -> None:
    found = of_result(
        result(
            "prompt",
            Choice("prompt", "plain", {"plain": 0.7, "chat (on 20 rows)": 0.9}),
            Choice("answer by", "likelihood", {"writing (on 16 rows)": 0.0, "likelihood": 0.75}),
        ),
        1.0,
    )
    error = error_of(0.75, 40, 1.0)
    assert found == Bar("x", pytest.approx(0.75 - lucky(4) * error), pytest.approx(error), "prompt")


def test_rows_that_a_choice_was_made_on_are_read_from_its_name() -> None:
    one = result("prompt", Choice("prompt", "plain", {"plain (on 16 rows)": 0.5}))
    found = of_result(one, 1.0)
    assert found is not None
    assert found.error == error_of(0.5, 16, 1.0)


def test_cross_validation_is_on_train_and_dev_rows() -> None:
    one = result("probe", Choice("C", "0.1", {"0.1": 0.5}), train_rows=300)
    found = of_result(one, 1.0)
    assert found is not None
    assert found.error == error_of(0.5, 340, 1.0)
    many = of_result(replace(one, quote=replace(one.quote or Quote("x", True), train_rows=5000)), 1.0)
    assert many is not None
    assert many.error == error_of(0.5, 1000, 1.0)


def test_what_says_nothing_is_no_bar() -> None:
    choice = Choice("prompt", "plain", {"plain": 0.5})
    assert of_result(result("prompt"), 1.0) is None
    assert of_result(result("prompt", Choice("prompt", "plain")), 1.0) is None
    assert of_result(result("prompt", Choice("prompt", "plain", {"plain": None})), 1.0) is None
    assert of_result(result("tune", Choice("C", "1", {"1": 0.5})), 1.0) is None
    assert of_result(result("classical", Choice("depth", "3", {"3": 0.5})), 1.0) is None
    assert of_result(result("prompt", Choice("prompt", "plain", {"plain": 3.0})), 1.0) is None
    assert of_result(replace(result("prompt", choice), status="unfinished"), 1.0) is None
    assert of_result(replace(result("prompt", choice), quote=None), 1.0) is None


def test_a_tuned_rung_has_a_score_of_its_own() -> None:
    one = replace(result("tune"), dev=Measure("accuracy", 0.5, 0.402, 0.598))
    assert of_result(one, 1.0) == Bar("x", 0.5, pytest.approx(0.05), "tune")


def test_the_highest_is_the_bar() -> None:
    low, high = Bar("a", 0.1, 0.0), Bar("b", 0.2, 0.0)
    assert highest([low, high]) == high
    assert highest([]) is None
