"""Records survive the way to disk and back, and refuse what does not fit."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from rung import expected, records
from rung.errors import ResumeError
from rung.records import (
    Answer,
    Choice,
    Comparison,
    Completion,
    Cost,
    CurvePoint,
    Example,
    Forecast,
    Measure,
    Mechanism,
    Message,
    Passage,
    Point,
    Quote,
    Regret,
    Rendered,
    Result,
    RunInfo,
    Score,
    Task,
    Tradeoff,
    Verdict,
    from_json,
    to_json,
)

MESSAGES = (Message("user", "2 + 2?"), Message("assistant", "4 \u2713\u2028"))
TASK = Task("classification", "few targets", ("accuracy", "f1"), labels=("yes", "no"))
MEASURE = Measure("accuracy", 0.1 + 0.2, 0.25, 0.35, n=40, unit="", note="x")
FULL = [
    Example("ab12", MESSAGES, 3, "a.jsonl"),
    TASK,
    Rendered("ab12", (1, 2, 3), (False, True, True)),
    Completion("ab12", "4", 2, truncated=True),
    Score("ab12", "ok", {"accuracy": 1.0}, "4", "note"),
    MEASURE,
    Measure("kl", None),
    Cost(seconds=1.5, train_tokens=7, currency="USD"),
    Quote("lora", fits=False, seconds=3.5, why="too long"),
    CurvePoint(4, 100, 1.25, 0.1, 0.2, 1e-4),
    Choice("k", "8", {"4": 0.5, "8": None}),
    Answer("ab12", "4", "unparsed", None, {"accuracy": 0.0}, 3),
    Result(
        "lora",
        "lora",
        "ok",
        2,
        "tiny",
        "f00d",
        primary=MEASURE,
        metrics=(MEASURE,),
        counts={"ok": 3},
        cost=Cost(money=0.5),
        quote=Quote("lora", fits=True),
        choices=(Choice("k", "4"),),
        forgetting=(Measure("kl", 0.01, unit="nats/token", higher_is_better=False),),
        curve=(CurvePoint(0, 0, 0.0),),
        asked={"rank": 8},
        applied={"rank": 8, "targets": ["q_proj"]},
        notes=("one",),
        mechanisms=(Mechanism("fused head", on=True, why="on the target tokens alone"),),
    ),
    Verdict("lora", "Use LoRA.", comparisons=(Comparison("lora", "full", MEASURE, 0.5, "exact McNemar"),)),
    RunInfo("run", TASK, "tiny", data={"rows": 10}, versions={"torch": "2"}, seconds=3.0),
    Mechanism("cached trunk", on=False, why="the first layer is trained too"),
    Regret("lora", expected=0.4, chance=0.93),
    Tradeoff(0.5, loss=1.25, kl=0.1, taken=True),
    Point(100, 0.5, 0.05),
    Forecast(0.6, 0.5, 0.7, 0.2, points=(Point(100, 0.5, 0.05),), best="probe", bar=0.65),
    Passage("cd34", "Tea is at four.", "Tea", "a.md"),
]


@pytest.mark.parametrize("record", FULL, ids=lambda record: type(record).__name__)
def test_round_trip_through_json_text(record: Any) -> None:
    text = json.dumps(to_json(record), allow_nan=False)
    assert from_json(type(record), json.loads(text)) == record


def test_every_record_is_covered_and_frozen() -> None:
    classes = {
        item
        for item in vars(records).values()
        if isinstance(item, type)
        and dataclasses.is_dataclass(item)
        and item.__module__ in (records.__name__, expected.__name__)
    }
    assert classes == {type(record) for record in FULL} | {Message, Comparison}
    assert all(vars(item)["__dataclass_params__"].frozen for item in classes)


def test_prompt_and_target_of_an_example() -> None:
    example = Example("x", MESSAGES, 1)
    assert example.prompt == MESSAGES[:1]
    assert example.target == MESSAGES[1].content


def test_lengths_of_a_rendered_row() -> None:
    row = Rendered("x", (5, 6, 7, 8), (False, False, True, True))
    assert (row.answer_start, row.answer_length, row.learned) == (2, 2, 2)
    two_answers = Rendered("x", (5, 6, 7, 8, 9), (False, True, False, True, True))
    assert (two_answers.answer_start, two_answers.answer_length, two_answers.learned) == (3, 2, 3)


def test_primary_metric_is_the_first() -> None:
    assert TASK.primary == "accuracy"


@pytest.mark.parametrize(
    ("change", "field"),
    [({"rank": "x"}, "order"), ({"order": "second"}, "order"), ({"status": "great"}, "status")],
)
def test_a_value_that_does_not_fit_is_named(change: dict[str, Any], field: str) -> None:
    value = to_json(FULL[12]) | change
    if "rank" in change:
        del value["order"]
    with pytest.raises(ResumeError, match=rf"results/lora.json: Result field '{field}'.*delete it"):
        from_json(Result, value, "results/lora.json")


def test_a_nested_value_is_named_by_its_path() -> None:
    value = to_json(FULL[12])
    value["curve"][0]["step"] = "zero"
    with pytest.raises(ResumeError, match=r"curve\.0\.step"):
        from_json(Result, value)


def test_absent_is_none_and_stays_none() -> None:
    value = to_json(Measure("kl", None))
    assert value["value"] is None
    assert from_json(Measure, value).value is None


def test_what_a_rung_does_follows_from_its_kind_and_in_older_runs_from_its_method() -> None:
    def of(method: str, **more: Any) -> tuple[bool, bool]:
        made = Result("x", method, "ok", 0, "tiny", "f", **more)
        return made.prompts, made.tunes

    assert of("prompt", kind="prompt") == of("prompt") == (True, False)
    assert of("lora", kind="tune") == of("lora") == (False, True)
    assert of("words", kind="classical") == (False, False)
    assert of("prompt", cost=Cost(trainable_parameters=5)) == (False, True)
    old = to_json(Result("x", "lora", "ok", 0, "tiny", "f"))
    del old["kind"]
    assert from_json(Result, old).kind == ""


def test_cost_at_a_volume() -> None:
    cost = Cost(seconds=110.0, answer_seconds=10.0, answers=100)
    assert cost.making_seconds == 100.0
    assert cost.at(1000) == 200.0
    assert Cost(seconds=110.0).at(1000) is None
    assert (cost.making_money, cost.money_at(1000)) == (None, None)
    priced = Cost(seconds=110.0, answer_seconds=10.0, answers=100, money=11.0, answer_money=1.0)
    assert (priced.making_money, priced.one_answer_money, priced.money_at(1000)) == (10.0, 0.01, 20.0)
    assert Cost(money=1.0, answer_money=0.0).money_at(10) is None  # nothing was answered
