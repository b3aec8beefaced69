"""The words of a verdict; what is decided is tested with `rung.ladder.verdict`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rung.ladder.case import Case, title
from rung.ladder.sentence import lone, reasons_of, verdict_of
from rung.records import Choice, Comparison, Cost, Measure, Result, Task

TASK = Task("classification", "nine labels", ("accuracy",))
TRANSLATION = Task("translation", "two languages", ("chrf",))


def result(rung: str, method: str, value: float, order: int, **more: object) -> Result:
    parts = {
        "primary": Measure("accuracy", value, value - 0.05, value + 0.05, 200),
        "cost": Cost(seconds=60.0 * (order + 1), trainable_parameters=10 if method != "prompt" else None),
        "counts": {"ok": 200},
    }
    return Result(rung, method, "ok", order, "tiny", "x", **parts | more)  # type: ignore[arg-type]


FEW = result("few-shot", "prompt", 0.6, 1, choices=(Choice("k", "8"),))
LORA = result("lora", "lora", 0.8, 2, forgetting=(Measure("kl", 0.01, 0.0, 0.02, 100, False, "nats/token"),))


def test_a_rung_is_called_by_what_it_did() -> None:
    assert title(FEW) == "8-shot prompting"
    assert title(LORA) == "LoRA"
    for chosen, shots in (
        ("8 examples", ""),
        ("8 retrieved examples, plain layout", " with retrieved examples"),
    ):
        assert title(replace(FEW, choices=(Choice("prompt", chosen),))) == f"8-shot prompting{shots}"
    assert title(replace(FEW, choices=())) == "few-shot prompting"


def test_the_sentence_names_winner_rival_numbers_and_advice() -> None:
    gain = Measure("accuracy", 0.2, 0.12, 0.28, 200)
    pair = Comparison("lora", "few-shot", gain, p_value=0.001, test="exact McNemar", distinguishable=True)
    case = Case(
        TASK,
        {"few-shot": FEW, "lora": LORA},
        "lora",
        "lora",
        "few-shot",
        (pair,),
        "clear",
        ranked=("few-shot", "lora"),
    )
    said = verdict_of(case)
    assert said.startswith("LoRA beats 8-shot prompting by 20.0 points (95% interval 12.0 to 28.0) in 3 min")
    assert "forgot 0.01 nats/token" in said
    assert said.endswith("Use LoRA.")
    assert any("exact McNemar" in reason for reason in reasons_of(case))


def test_one_rung_alone_is_said_to_be_alone() -> None:
    case = Case(TASK, {"lora": LORA}, "lora", "lora", None, ())
    assert "LoRA" in lone(case)
    assert "beats" not in lone(case)


@pytest.mark.parametrize(
    ("task", "counts", "said"),
    [
        (
            TRANSLATION,
            {"ok": 7, "truncated": 30},
            "30 of 37 answers were longer than the 34 tokens allowed and were cut.",
        ),
        (TRANSLATION, {"ok": 30, "unparsed": 7}, "7 of 37 answers had no text."),
        (
            TASK,
            {"ok": 20, "unparsed": 12, "truncated": 5},
            "12 of 37 answers missed the format and 5 were longer "
            "than the 34 tokens allowed and were cut. What could not be read counts as wrong.",
        ),
    ],
)
def test_answers_that_were_cut_are_not_said_to_miss_a_format(
    task: Task, counts: dict[str, int], said: str
) -> None:
    zero = result("zero-shot", "prompt", 0.2, 0, counts=counts, applied={"max_new_tokens": 34})
    case = Case(task, {"zero-shot": zero}, "zero-shot", "zero-shot", None, ())
    assert f"Zero-shot prompting: {said}" in reasons_of(case)


def test_no_rung_at_all_is_no_recommendation() -> None:
    failed = Result("lora", "lora", "failed", 2, "tiny", "x", reason="it broke")
    case = Case(TASK, {"lora": failed}, None, None, None, ())
    assert "Use" not in lone(case)
    assert any("it broke" in reason for reason in reasons_of(case))


def test_a_rung_above_the_bound_is_named_with_what_was_left_to_compare() -> None:
    full = result("full", "full", 0.9, 3, forgetting=(Measure("kl", 1.2, unit="nats/token"),))
    results = {"few-shot": FEW, "lora": LORA, "full": full}
    case = Case(TASK, results, "lora", "lora", None, (), max_forgetting=0.5, over={"full": 1.2})
    assert verdict_of(case).endswith(
        "on test rows that no other rung answered. Use LoRA for now. "
        "Full fine-tuning forgot 1.20 nats a token, and at most 0.5 were allowed."
    )
    failed = Result("full", "full", "failed", 3, "tiny", "x", reason="it broke.")
    case = Case(
        TASK, {"lora": LORA, "full": failed}, None, None, None, (), max_forgetting=0.5, over={"lora": 1.2}
    )
    assert lone(case) == (
        "No rung can be recommended: LoRA forgot 1.20 nats a token, and at most 0.5 were allowed "
        "(full fine-tuning: it broke)."
    )
