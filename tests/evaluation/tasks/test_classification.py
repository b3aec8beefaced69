"""Classification: what is taken for labels, and what is right."""

from __future__ import annotations

from rows_of import of_targets, task_of


def test_classification_needs_few_short_labels_used_again() -> None:
    task = task_of(of_targets("spam", "ham", "ham ", times=10))
    assert (task.kind, task.labels, task.primary) == ("classification", ("ham", "spam"), "accuracy")
    assert "30 of 30" in task.why
    assert "2 short labels" in task.why
    assert task_of(of_targets("not toxic", "toxic", times=20)).kind == "classification"
    assert task_of(of_targets(*[f"intent {i}" for i in range(77)], times=6)).kind == "classification"
    assert task_of(of_targets(*[f"intent {i}" for i in range(77)], times=2)).kind == "generation"
    assert task_of(of_targets(*[f"answer {i}" for i in range(40)])).kind == "generation"
    long = "a label of this many words is hardly a label at all"
    assert task_of(of_targets(long, "short", times=20)).kind == "generation"
    assert task_of(of_targets("same", times=20)).kind == "generation"


def test_a_few_odd_labels_do_not_matter() -> None:
    assert task_of(of_targets(*["yes", "no"] * 20, "maybe so")).kind == "classification"
    assert task_of(of_targets(*["yes", "no"] * 20, *[f"odd {i}" for i in range(5)])).kind == "generation"
