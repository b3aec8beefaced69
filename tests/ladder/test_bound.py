"""The bound on forgetting: who is above it, and how that is said."""

from __future__ import annotations

from rung.ladder.bound import above, all_too_much, amount, forgot, too_much
from rung.records import Measure, Result


def tuned(rung: str, kl: float | None) -> Result:
    drift = (Measure("top1_agreement", 0.9), Measure("kl", kl, unit="nats/token"))
    return Result(rung, rung, "ok", 2, "tiny", "x", forgetting=drift, kind="tune")


RESULTS = (
    tuned("lora", 1.2),
    tuned("ia3", 0.5),
    tuned("full", 0.51),
    tuned("dora", None),
    Result("few-shot", "prompt", "ok", 1, "tiny", "x", kind="prompt"),
)


def test_only_what_was_measured_above_the_bound_breaks_it() -> None:
    assert above(RESULTS, 0.5) == {"lora": 1.2, "full": 0.51}
    assert above(RESULTS, 2.0) == {}
    assert above(RESULTS, None) == {}
    assert above([tuned("lora", float("nan"))], 0.5).keys() == {"lora"}
    assert [forgot(one) for one in RESULTS] == [1.2, 0.5, 0.51, None, None]


def test_how_much_is_said_with_numbers() -> None:
    assert too_much(1.2, 0.5) == "it forgot 1.20 nats a token, at most 0.5 were allowed"
    named = {"LoRA": 1.2, "IA3": 0.9, "full fine-tuning": 0.75}
    assert all_too_much({"LoRA": 1.2}, 0.5) == "LoRA forgot 1.20 nats a token, and at most 0.5 were allowed"
    assert all_too_much(named, 0.5) == (
        "LoRA forgot 1.20, IA3 0.900 and full fine-tuning 0.750 nats a token, and at most 0.5 were allowed"
    )


def test_a_number_above_the_bound_reads_as_more_than_it() -> None:
    assert amount(0.5, 0.4) == "0.500"
    assert amount(0.50004, 0.5) == "0.50004"
    assert amount(1e-4, 1e-6) == "<0.001"
    assert amount(1234.5, 1.0) == "1,234"
    assert amount(float("nan"), 0.5) == "-"
