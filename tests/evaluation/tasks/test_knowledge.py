"""Knowledge: the user says it."""

from __future__ import annotations

from rows_of import of_targets, task_of


def test_it_is_asked_for_and_a_row_is_right_or_wrong() -> None:
    questions = of_targets(*[f"answer {i}" for i in range(30)])
    assert task_of(questions).kind == "generation"
    task = task_of(questions, "knowledge")
    assert (task.kind, task.row_metric, task.primary) == ("knowledge", "exact_match", "rouge_l")
