"""Generation: what is left where no other kind fits."""

from __future__ import annotations

from rows_of import of_targets, task_of


def test_the_sentence_counts_targets() -> None:
    task = task_of(of_targets(*[f"one two three {i}" for i in range(30)]))
    assert (task.kind, task.metrics) == ("generation", ("rouge_l", "exact_match"))
    assert task.why.startswith("Generation: 30 different targets in 30 rows")
