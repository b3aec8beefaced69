"""A decided case: what its words are made of."""

from __future__ import annotations

from dataclasses import replace

from rung.ladder.case import Case, title, worth
from rung.records import Choice, Comparison, Measure, Result, Task

TASK = Task("classification", "nine labels", ("accuracy",))
FEW = Result("few-shot", "prompt", "ok", 1, "tiny", "x", kind="prompt")
LORA = Result("lora", "lora", "ok", 2, "tiny", "x", primary=Measure("accuracy", 0.8, n=50), kind="tune")


def test_a_rung_is_called_by_what_it_did() -> None:
    assert title(LORA) == "LoRA"
    assert title(FEW) == "few-shot prompting"
    assert title(replace(FEW, choices=(Choice("k", "8"),))) == "8-shot prompting"
    retrieved = replace(FEW, choices=(Choice("prompt", "8 retrieved examples, plain layout"),))
    assert title(retrieved) == "8-shot prompting with retrieved examples"
    assert title(replace(LORA, rung="mine")) == "mine"


def test_more_worth_is_better_and_no_score_is_the_least() -> None:
    misses = replace(LORA, primary=Measure("misses", 0.2, higher_is_better=False))
    assert (worth(LORA), worth(misses), worth(FEW)) == (0.8, -0.2, float("-inf"))


def test_a_goal_is_missed_by_a_score_that_is_worse() -> None:
    case = Case(TASK, {"lora": LORA}, "lora", "lora", None, (), goal=80.0)
    assert not case.misses(LORA)
    assert replace(case, goal=81.0).misses(LORA)
    assert not replace(case, goal=None).misses(LORA)
    assert not case.misses(FEW)


def test_a_pair_is_found_in_either_order() -> None:
    pair = Comparison("lora", "few-shot", Measure("accuracy", 0.2))
    case = Case(TASK, {}, None, None, None, (pair,))
    assert case.between("few-shot", "lora") is case.between("lora", "few-shot") is pair
    assert case.between("lora", "full") is None


def test_what_was_forgotten_beyond_the_bound_is_said_once_for_all() -> None:
    case = Case(TASK, {"lora": LORA}, None, None, None, (), max_forgetting=0.5, over={"lora": 1.2})
    assert case.too_much == "LoRA forgot 1.20 nats a token, and at most 0.5 were allowed"
    assert replace(case, over={}).too_much == ""
