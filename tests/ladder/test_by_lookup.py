"""What is said of retrieval."""

from __future__ import annotations

import pytest

from rung.ladder.by_lookup import about_lookup
from rung.ladder.case import Case
from rung.ladder.sentence import verdict_of
from rung.records import Certainty, Comparison, Cost, Measure, Result, Task

TASK = Task("knowledge", "questions", ("rouge_l_recall",))


def result(rung: str, value: float) -> Result:
    tuned = rung.startswith("lora")
    return Result(
        rung,
        "lora" if tuned else "prompt",
        "ok",
        0,
        "tiny",
        "x",
        primary=Measure("rouge_l_recall", value, value - 0.05, value + 0.05, 200),
        cost=Cost(seconds=60.0, trainable_parameters=10 if tuned else None),
        counts={"ok": 200},
        kind="tune" if tuned else "prompt",
    )


def case_of(recommended: str | None, certainty: Certainty = "clear", **values: float) -> Case:
    scores = {name.replace("_", "-"): value for name, value in values.items()}
    pairs = []
    for name, value in scores.items():
        if recommended is not None and name != recommended:
            gap = scores[recommended] - value
            measure = Measure("rouge_l_recall", gap, gap - 0.05, gap + 0.05, 200)
            pairs.append(Comparison(recommended, name, measure, 0.001, "bootstrap", True))
    results = {name: result(name, value) for name, value in scores.items()}
    best = max(scores, key=scores.__getitem__)
    rival = next((name for name in results if name != recommended), None)
    return Case(TASK, results, recommended, best, rival, tuple(pairs), certainty, ranked=tuple(results))


def test_retrieval_in_the_place_of_tuning() -> None:
    case = case_of("retrieval", lora=0.2, retrieval=0.7)
    assert about_lookup(case) == (
        "Retrieval is the right answer here instead of tuning: the facts stay in the documents, where they "
        "can be changed without training."
    )
    assert verdict_of(case).endswith(about_lookup(case))
    assert "instead of tuning" not in about_lookup(case_of("document", document=0.7, zero_shot=0.1))
    tuned = case_of("lora-retrieval", lora=0.2, lora_retrieval=0.7)
    assert about_lookup(tuned).startswith("Retrieval is the right answer here, with a tuned reader: ")


def test_where_learning_is_ahead_it_says_so() -> None:
    said = about_lookup(case_of("lora", retrieval=0.2, lora=0.7))
    assert said == "Looking the answers up is not needed here: prompting with retrieval falls behind."


@pytest.mark.parametrize(
    "case",
    [
        case_of("lora", zero_shot=0.2, lora=0.7),
        case_of("retrieval", "open", lora=0.2, retrieval=0.7),
        case_of(None, lora=0.2, retrieval=0.7),
        case_of("lora", retrieval=0.8, lora=0.7),
    ],
    ids=["no lookup", "open", "nothing recommended", "cheaper but behind"],
)
def test_otherwise_nothing_is_said(case: Case) -> None:
    assert about_lookup(case) == ""
