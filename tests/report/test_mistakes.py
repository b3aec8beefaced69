"""What went wrong, counted from predictions."""

from __future__ import annotations

import json
from typing import Any

from rung.records import Answer, Example, Message, Task
from rung.report.mistakes import (
    NO_ANSWER,
    OTHER,
    TEXT_CAP,
    confusion,
    decider,
    field_errors,
    function_errors,
    function_name,
    side_by_side,
)


def _example(n: int, target: str, system: str = "") -> Example:
    opening = (Message("system", system),) if system else ()
    return Example(str(n), (*opening, Message("user", f"question {n}"), Message("assistant", target)), n)


def _right(n: int, value: float, **more: Any) -> Answer:
    return Answer(str(n), "x", more.pop("status", "ok"), more.pop("answer", "x"), {"accuracy": value}, **more)


def test_confusion_counts_every_graded_row() -> None:
    examples = {str(n): _example(n, label) for n, label in enumerate(["cat", "cat", "dog", "dog", "dog"])}
    rows = [
        Answer("0", "cat", "ok", "Cat"),
        Answer("1", "dog", "ok", "dog"),
        Answer("2", "?", "unparsed", None),
        Answer("3", "fish", "ok", "fish"),
        Answer("4", "dog", "error", "dog"),
    ]
    found = confusion("r", rows, examples)
    assert found is not None
    assert found.lines == ("cat", "dog")
    assert found.columns == ("cat", "dog", OTHER, NO_ANSWER)
    assert found.counts == ((1, 1, 0, 0), (0, 0, 1, 1))
    assert found.share(0, 1) == 0.5
    assert set(found.commonest) == {("cat", "dog", 1), ("dog", NO_ANSWER, 1), ("dog", "fish", 1)}
    assert confusion("r", [], examples) is None


def test_many_labels_share_a_line() -> None:
    examples = {str(n): _example(n, f"label {n % 30}") for n in range(300)}
    rows = [Answer(key, e.target, "ok", e.target) for key, e in examples.items()]
    found = confusion("r", rows, examples)
    assert found is not None
    assert found.lines[-1] == OTHER
    assert len(found.lines) == 13
    assert sum(map(sum, found.counts)) == 300


def test_field_errors() -> None:
    target = {"a": 5, "b": " x ", "c": [1, 2], "d": 1}
    examples = {str(n): _example(n, json.dumps(target)) for n in range(4)}
    good = {"a": 5.0, "b": "x", "c": [2, 1], "d": 1}
    bad = {"a": 6, "b": "X", "c": [1, 2], "e": 0}
    rows = [
        Answer("0", json.dumps(good), "ok", json.dumps(good)),
        Answer("1", json.dumps(bad), "ok", json.dumps(bad)),
        Answer("2", "{", "truncated", None),
        Answer("3", "{}", "error", None),
    ]
    found, unread = field_errors(rows, examples)
    assert unread == 1
    tally = {f.name: (f.expected, f.right, f.wrong, f.missing, f.extra) for f in found}
    assert tally == {
        "a": (2, 1, 1, 0, 0),
        "b": (2, 1, 1, 0, 0),
        "c": (2, 2, 0, 0, 0),
        "d": (2, 1, 0, 1, 0),
        "e": (0, 0, 0, 0, 1),
    }
    assert [f.name for f in found][-1] == "c"


def test_function_names_and_errors() -> None:
    known = ("git", "git commit", "get_weather")
    assert function_name("git commit -m 'x'", known) == "git commit"
    assert function_name("git committed", known) == "git"
    assert function_name("get_weather(city='Oslo')", known) == "get_weather"
    assert function_name("torch.hub.load('x')") == "torch.hub.load"
    assert function_name("  ") == NO_ANSWER
    examples = {str(n): _example(n, "get_weather(city='Oslo')") for n in range(4)}
    rows = [
        Answer("0", "get_weather()", "ok", "get_weather()"),
        Answer("1", "git commit", "ok", "git commit"),
        Answer("2", "no idea", "unparsed", None),
        Answer("3", "git commit", "ok", "git commit", {"function_match": 1.0}),
    ]
    assert set(function_errors(rows, examples, known)) == {
        ("get_weather", "git commit", 1),
        ("get_weather", NO_ANSWER, 1),
    }


def test_decider_prefers_right_or_wrong_to_a_grade() -> None:
    rows = [Answer("0", "x", "ok", "x", {"field_f1": 0.5, "exact_match": 0.0, "fn": 1.0})]
    task = Task("extraction", "", ("field_f1", "exact_match"))
    judge = decider(task, {"r": rows})
    assert judge is not None
    assert (judge.name, judge.binary) == ("exact_match", True)
    written = [Answer("0", "x", "ok", "x", {"rouge_l": 0.5, "exact_match": 0.0})]
    judge = decider(Task("generation", "", ("rouge_l", "exact_match")), {"r": written})
    assert judge is not None
    assert (judge.name, judge.binary) == ("rouge_l", False)
    assert decider(task, {}) is None


def test_kinds_of_rows() -> None:
    examples = [_example(n, "x") for n in range(5)]
    answers = {
        "prompt": [_right(n, v) for n, v in enumerate([0, 1, 0, 1])] + [_right(4, 0, status="error")],
        "lora": [_right(n, v) for n, v in enumerate([1, 0, 0, 1, 1])],
    }
    judge = decider(Task("classification", "", ("accuracy",)), answers)
    rows = side_by_side(examples, answers, judge, "prompt", "lora")
    assert [row["k"] for row in rows] == ["f", "b", "w", "", ""]
    assert rows[4]["cells"][0]["v"] is None


def test_rows_carry_text_that_is_clean_capped_and_not_repeated() -> None:
    examples = [_example(n, "x", system="Be brief.") for n in range(2)]
    answers = {"r": [Answer("0", "well: \x1bx" + "y" * 5000, "ok", "x", {"accuracy": 1.0}, note="n")]}
    first, second = side_by_side(examples, answers, None, None, None)
    assert first["p"] == [["user", "question 0"]]
    cell = first["cells"][0]
    assert (cell["t"], cell["n"], cell["s"]) == ("x", "n", "ok")
    assert cell["raw"].startswith("well: \\x1bxyyy")
    assert len(cell["raw"]) < TEXT_CAP + 60
    assert cell["raw"].endswith("more characters)")
    assert second["cells"] == [None]
