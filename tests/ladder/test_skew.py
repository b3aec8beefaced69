"""Where most rows have one label, the verdict looks at macro F1 too."""

from __future__ import annotations

from typing import Any

from rung.ladder.case import Case
from rung.ladder.skew import about_skew
from rung.records import Measure, Result, Task

TASK = Task("classification", "", ("accuracy", "macro_f1"), labels=("ham", "spam"))


def result(rung: str, accuracy: float, macro: float, kind: Any = "classical", order: int = 1) -> Result:
    metrics = (Measure("accuracy", accuracy), Measure("macro_f1", macro))
    return Result(rung, rung, "ok", order, "", "", primary=metrics[0], metrics=metrics, kind=kind)


def case(*results: Result, task: Task = TASK) -> Case:
    return Case(task, {one.rung: one for one in results}, None, None, None, ())


def test_macro_f1_stands_next_to_accuracy() -> None:
    floor = result("constant", 0.94, 0.48, "floor", 0)
    said = about_skew(case(floor, result("nearest", 0.94, 0.482), result("words", 0.97, 0.9)))
    assert said == [
        "One label for every row is right in 94.0% of the test rows and has a macro F1 of 48.0%, so macro F1 "
        "says more: nearest row 48.2% and TF-IDF and logistic regression 90.0%; --metric macro_f1 "
        "compares by it.",
        "Nearest row does no better than one label for every row.",
    ]
    by_macro = Task("classification", "", ("macro_f1", "accuracy"), labels=("ham", "spam"))
    assert "--metric" not in about_skew(case(floor, result("words", 0.97, 0.9), task=by_macro))[0]


def test_nothing_is_said_where_labels_are_balanced_or_nothing_is_known() -> None:
    words = result("words", 0.97, 0.9)
    assert about_skew(case(result("constant", 0.5, 0.33, "floor", 0), words)) == []
    assert about_skew(case(words)) == []
    assert about_skew(case(result("constant", 0.94, 0.48, "floor", 0))) == []
    other = Task("generation", "", ("rouge_l",))
    assert about_skew(case(result("constant", 0.94, 0.48, "floor", 0), words, task=other)) == []
