"""What went wrong, counted from predictions."""

from __future__ import annotations

import random
from typing import Any

import pytest

from rung.evaluation.fields import ABSENT, compare
from rung.records import Answer, Example, Message, ScoreStatus, Task
from rung.report.mistakes import (
    NO_ANSWER,
    OTHER,
    TEXT_CAP,
    call_errors,
    confusion,
    decider,
    field_errors,
    side_by_side,
)


def _example(n: int, target: str, system: str = "") -> Example:
    opening = (Message("system", system),) if system else ()
    return Example(str(n), (*opening, Message("user", f"question {n}"), Message("assistant", target)), n)


def _right(n: int, value: float, **more: Any) -> Answer:
    return Answer(str(n), "x", more.pop("status", "ok"), more.pop("answer", "x"), {"accuracy": value}, **more)


def _labelled(n: int, wanted: str, got: str | None, status: ScoreStatus = "ok") -> Answer:
    return Answer(str(n), got or "?", status, got, evidence={"wanted": wanted, "got": got})


def test_confusion_counts_every_graded_row() -> None:
    rows = [
        _labelled(0, "cat", "cat"),
        _labelled(1, "cat", "dog"),
        _labelled(2, "dog", None, "unparsed"),
        _labelled(3, "dog", "fish"),
        _labelled(4, "dog", "dog", "error"),
    ]
    found = confusion("r", rows)
    assert found is not None
    assert found.lines == ("cat", "dog")
    assert found.columns == ("cat", "dog", OTHER, NO_ANSWER)
    assert found.counts == ((1, 1, 0, 0), (0, 0, 1, 1))
    assert found.share(0, 1) == 0.5
    assert set(found.commonest) == {("cat", "dog", 1), ("dog", NO_ANSWER, 1), ("dog", "fish", 1)}
    assert confusion("r", []) is None


def test_many_labels_share_a_line() -> None:
    found = confusion("r", [_labelled(n, f"label {n % 30}", f"label {n % 30}") for n in range(300)])
    assert found is not None
    assert found.lines[-1] == OTHER
    assert len(found.lines) == 13
    assert sum(map(sum, found.counts)) == 300


def _fields(n: int, fields: list[dict[str, Any]], status: ScoreStatus = "ok") -> Answer:
    answer = None if status in ("truncated", "unparsed") else "{}"
    return Answer(str(n), "{}", status, answer, evidence={"fields": fields})


def test_field_errors() -> None:
    good = [{"path": name, "wanted": 1, "got": 1, "right": True} for name in ("a", "b", "c[]", "c[]", "d")]
    bad = [
        {"path": "a", "wanted": None, "got": 6, "right": False},
        {"path": "b", "wanted": "x", "got": "X", "right": False},
        {"path": "c[]", "wanted": 1, "got": 1, "right": True},
        {"path": "d", "wanted": 1, "right": False},
        {"path": "e", "got": 0, "right": False},
    ]
    found, unread = field_errors(
        [_fields(0, good), _fields(1, bad), _fields(2, bad, "truncated"), _fields(3, bad, "error")]
    )
    assert unread == 1
    tally = {f.name: (f.expected, f.right, f.wrong, f.missing, f.extra) for f in found}
    assert tally == {
        "a": (2, 1, 1, 0, 0),
        "b": (2, 1, 1, 0, 0),
        "c[]": (3, 3, 0, 0, 0),
        "d": (2, 1, 0, 1, 0),
        "e": (0, 0, 0, 0, 1),
    }
    assert [f.name for f in found][-1] == "c[]"


def _called(wanted: list[str], got: list[str], *differ: str, status: ScoreStatus = "ok") -> Answer:
    return Answer("0", "x", status, "x", evidence={"wanted": wanted, "got": got, "arguments": list(differ)})


def test_call_errors() -> None:
    found = call_errors(
        [
            _called(["get_weather"], ["git commit"]),
            _called(["get_weather"], [], status="unparsed"),
            _called(["git add"], ["git add", "rm"]),
            _called(["git add"], ["git add"], "-n", "word 3"),
            _called(["git add", "rm"], ["git add", "rm"], "-n"),
            _called(["git add"], ["rm"], status="error"),
        ]
    )
    assert set(found.functions) == {
        ("get_weather", "git commit", 1),
        ("get_weather", NO_ANSWER, 1),
        ("git add", "git add, rm", 1),
    }
    assert found.arguments == (("-n", 2), ("word 3", 1))
    assert not call_errors([])


def test_answers_without_evidence_have_no_tables() -> None:
    rows = [Answer(str(n), "x", "ok", "x", {"accuracy": 1.0}) for n in range(3)]
    assert confusion("r", rows) is None
    assert field_errors(rows) == ((), 0)
    assert not call_errors(rows)


def test_decider_takes_the_task_s_metric_for_rows() -> None:
    rows = [Answer("0", "x", "ok", "x", {"field_f1": 0.5, "exact_match": 0.0, "fn": 1.0})]
    task = Task("extraction", "", ("field_f1", "exact_match"), row_metric="exact_match")
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


def test_fields_have_the_precision_recall_and_f1_of_scikit_learn() -> None:
    """Each value of a field is a label of its row; a row without JSON gives none."""
    from sklearn.metrics import precision_recall_fscore_support
    from sklearn.preprocessing import MultiLabelBinarizer

    draw = random.Random(0)
    rows, wanted_sets, got_sets = [], [], []
    for n in range(200):
        wanted = {key: draw.choice("xyz") for key in "abc" if draw.random() < 0.8}
        got = {key: draw.choice("xyz") for key in "abcd" if draw.random() < 0.7}
        read = n % 7 > 0
        fields = [field.as_json() for field in compare(wanted, got if read else ABSENT)]
        rows.append(_fields(n, fields, "ok" if read else "unparsed"))
        wanted_sets.append(wanted)
        got_sets.append(got if read else {})
    found, unread = field_errors(rows)
    assert unread == 29
    for field in found:
        labels = MultiLabelBinarizer(classes=list("xyz"))
        truth, said = (
            labels.fit_transform([{one[field.name]} if field.name in one else set() for one in sets])
            for sets in (wanted_sets, got_sets)
        )
        precision, recall, f1, _ = precision_recall_fscore_support(
            truth, said, average="micro", zero_division=0
        )
        assert (field.precision, field.recall or 0.0, field.f1) == pytest.approx((precision, recall, f1))
    assert {field.name for field in found} == set("abcd")
