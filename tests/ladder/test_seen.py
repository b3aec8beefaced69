"""Scores on test rows whose API train rows show, and on the others."""

from __future__ import annotations

from rows_of import of_targets, task_of
from rung.evaluation.judging import judge
from rung.ladder.seen import facts, is_seen, measured
from rung.records import Completion

TRAIN = of_targets("f(x=1)", "g(y=1)", "f(x=2)\ng(y=2)", times=8)
TEST = of_targets("f(x=7)", "h(z=1)", "f(x=8)\nh(z=2)", "g(y=3)")
TASK = task_of(TRAIN)


def test_a_row_is_seen_where_all_its_apis_are() -> None:
    assert is_seen(TASK, TRAIN, TEST) == [True, False, False, True]
    assert facts(TASK, TRAIN, TEST) == {"seen": {"what": "API", "rows": 2, "of": 4}}


def test_both_parts_are_measured() -> None:
    texts = ["f(x=7)", "h(z=1)", "f(x=8)", "f(x=1)"]
    answers = judge(TASK, TEST, [Completion(e.id, t, 1) for e, t in zip(TEST, texts, strict=True)]).answers
    found = measured(TASK, TRAIN, TEST, answers)
    assert [(one.name, one.value, one.n) for one in found] == [
        ("exact_call, API in train", 0.5, 2),
        ("exact_call, API not in train", 0.5, 2),
    ]
    known = (TEST[0], TEST[3])
    assert measured(TASK, TRAIN, known, (answers[0], answers[3])) == ()  # all are seen


def test_other_tasks_name_nothing() -> None:
    labels = of_targets("yes", "no", times=20)
    assert facts(task_of(labels, hint="classification"), labels, labels) == {}
