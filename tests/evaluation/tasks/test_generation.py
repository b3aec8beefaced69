"""Generation: what is left where no other kind fits."""

from __future__ import annotations

import pytest

from rows_of import of_targets, task_of


@pytest.mark.parametrize(
    ("targets", "why"),
    [
        (
            [f"one two three {i}" for i in range(30)],
            "30 different targets in 30 rows, half of them of up to 4 words.",
        ),
        ([f"x{i}" for i in range(30)], "30 different targets in 30 rows, half of them of up to 1 word."),
        (
            ["赤色燈仔", "翠色門仔", "靛色杯仔", "皓色車", "玄色嘅車仔"],
            "5 different targets in 5 rows, half of them of up to 4 characters.",
        ),
        (["one two"], "1 different target in 1 row, half of them of up to 2 words."),
    ],
)
def test_the_sentence_counts_in_the_script_s_own_units(targets: list[str], why: str) -> None:
    task = task_of(of_targets(*targets))
    assert (task.kind, task.metrics) == ("generation", ("rouge_l", "exact_match"))
    assert task.why == f"Generation: {why}"


def test_numbers_are_said_to_be_text() -> None:
    task = task_of(of_targets(*[str(i / 7) for i in range(30)]))
    assert task.notes == (
        "all targets are numbers; they are compared as text, so a near miss counts as wrong",
    )
    assert task_of(of_targets(*[f"about {i}" for i in range(30)])).notes == ()
