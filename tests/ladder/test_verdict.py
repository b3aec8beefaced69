"""The verdict on made-up results: what is recommended, whether it is settled, and how it is said."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rung.evaluation import stats
from rung.evaluation.metrics import METRICS, grade, measures
from rung.ladder.bench import MARGIN
from rung.ladder.verdict import verdict
from rung.records import (
    Answer,
    Choice,
    Completion,
    Cost,
    Example,
    Measure,
    Message,
    Result,
    RungKind,
    Task,
    Verdict,
)

MOOD = Task("classification", "", ("accuracy",), labels=("good", "bad"))
SLOTS = Task("extraction", "", ("field_f1",))
FRENCH = Task("translation", "", ("chrf",))
ORDER = {"constant": -3, "words": -2, "probe": -1, "zero-shot": 0, "few-shot": 1, "lora": 2, "full": 3}
KINDS: dict[str, RungKind] = {"constant": "floor", "words": "classical", "probe": "probe"}
SECONDS = {
    "constant": 0.1,
    "words": 1.0,
    "probe": 15.0,
    "zero-shot": 20.0,
    "few-shot": 60.0,
    "lora": 250.0,
    "full": 775.0,
}


SURE = ": it is within 1 point of the best with more than 99% chance (clear)."


def examples(targets: Sequence[str]) -> list[Example]:
    return [
        Example(f"{i:016x}", (Message("user", str(i)), Message("assistant", target)), i + 1)
        for i, target in enumerate(targets)
    ]


def answered(task: Task, rows: Sequence[Example], texts: Sequence[str]) -> list[Answer]:
    scores = [grade(task, row, Completion(row.id, text, 1)) for row, text in zip(rows, texts, strict=True)]
    return [
        Answer(score.example_id, text, score.status, score.answer, score.values)
        for score, text in zip(scores, texts, strict=True)
    ]


def result(rung: str, primary: Measure | None = None, kl: float = 0.012, **fields: object) -> Result:
    tuned = rung not in ("zero-shot", "few-shot", *KINDS)
    made = Result(
        rung=rung,
        method=rung if tuned else "prompt",
        status="ok",
        order=ORDER[rung],
        base="tiny",
        fingerprint="f",
        primary=primary,
        cost=Cost(seconds=SECONDS[rung], trainable_parameters=1000 if tuned else None),
        choices=(Choice("k", "8"),) if rung == "few-shot" else (),
        forgetting=(Measure("kl", kl, unit="nats/token"),) if tuned else (),
        kind=KINDS.get(rung, ""),
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def judged(
    right: dict[str, Sequence[bool]],
    tolerance: float = 1.0,
    goal: float | None = None,
    volume: int = 10_000,
    **changed: Result,
) -> Verdict:
    """The verdict where each rung is right on the rows given."""
    rows = examples(["good"] * len(next(iter(right.values()))))
    answers = {
        rung: answered(MOOD, rows, ["good" if one else "bad" for one in hits]) for rung, hits in right.items()
    }
    named = {name.replace("_", "-"): one for name, one in changed.items()}
    results = [named.pop(rung, None) or result(rung) for rung in right]
    every = [*results, *named.values()]
    return verdict(every, answers, rows, MOOD, tolerance=tolerance, goal=goal, volume=volume)


def hits(right: int, of: int, start: int = 0) -> list[bool]:
    """`right` rows of `of`, from row `start` on, round the end."""
    return [(i - start) % of < right for i in range(of)]


def test_the_promised_sentence() -> None:
    rng = np.random.default_rng(0)
    few = rng.random(600) < 0.6
    lora = few | (rng.random(600) < 0.45)
    full = lora ^ (rng.random(600) < 0.02)
    full[lora.argmin()] = False
    drawn = judged({"zero-shot": rng.random(600) < 0.4, "few-shot": few, "lora": lora, "full": full & lora})
    gain = 100 * (lora.mean() - few.mean())
    pair = stats.paired_shares(lora, few)
    assert pair.low is not None
    assert pair.high is not None
    assert (drawn.best, drawn.recommended) == ("lora", "lora")
    assert drawn.best_prompting == "few-shot"
    assert drawn.conclusive
    assert drawn.sentence.startswith(
        f"LoRA beats 8-shot prompting by {gain:.1f} points "
        f"(95% interval {100 * pair.low:.1f} to {100 * pair.high:.1f}) in 4 min 10 s; "
    )
    assert drawn.sentence.endswith(f"the tuned model forgot 0.01 nats/token. Use LoRA{SURE}")


def test_the_cheaper_of_two_equals_is_recommended() -> None:
    drawn = judged({"few-shot": hits(200, 400), "lora": hits(320, 400), "full": hits(322, 400)})
    assert (drawn.best, drawn.recommended, drawn.conclusive) == ("full", "lora", True)
    assert "full fine-tuning is not distinguishable and costs 3.1x" in drawn.sentence
    assert "LoRA beats 8-shot prompting by 30.0 points" in drawn.sentence
    assert [(one.first, one.second, one.distinguishable) for one in drawn.comparisons] == [
        ("full", "few-shot", True),
        ("full", "lora", False),
        ("lora", "few-shot", True),
    ]
    assert all(one.rows_needed is None for one in drawn.comparisons)


def test_the_dearer_rung_is_recommended_where_it_is_better() -> None:
    drawn = judged({"zero-shot": hits(100, 400), "lora": hits(200, 400), "full": hits(300, 400)})
    assert (drawn.recommended, drawn.conclusive) == ("full", True)
    assert drawn.sentence == (
        "Full fine-tuning beats zero-shot prompting by 50.0 points (95% interval 44.8 to 54.7) "
        "in 12 min 55 s; the tuned model forgot 0.01 nats/token. Use full fine-tuning" + SURE
    )


def test_money_is_the_cost_where_both_have_it() -> None:
    cheap = result("lora", cost=Cost(seconds=250, money=0.5, currency="EUR", trainable_parameters=9))
    expensive = result("full", cost=Cost(seconds=775, money=6.0, currency="EUR", trainable_parameters=9))
    right = {"few-shot": hits(100, 200), "lora": hits(190, 200), "full": hits(190, 200)}
    assert "and costs 12x" in judged(right, lora=cheap, full=expensive).sentence
    other = replace(expensive, cost=replace(expensive.cost, currency="USD"))
    assert "and costs 3.1x" in judged(right, lora=cheap, full=other).sentence
    unknown = replace(expensive, cost=Cost())
    assert "full fine-tuning is not distinguishable; the" in judged(right, lora=cheap, full=unknown).sentence


def test_prompting_wins() -> None:
    drawn = judged({"zero-shot": hits(150, 400), "few-shot": hits(360, 400), "lora": hits(300, 400)})
    assert (drawn.recommended, drawn.conclusive) == ("few-shot", True)
    assert drawn.sentence.startswith("Do not tune: 8-shot prompting beats LoRA by 15.0 points (95% interval ")
    assert drawn.sentence.endswith(f"). Use 8-shot prompting{SURE}")
    assert "forgot" not in drawn.sentence


def test_prompting_is_as_good() -> None:
    drawn = judged(
        {"zero-shot": hits(200, 600), "few-shot": hits(500, 600), "lora": hits(503, 600, start=598)}
    )
    assert (drawn.best, drawn.recommended, drawn.conclusive) == ("lora", "few-shot", True)
    pair = stats.paired_shares(hits(503, 600, start=598), hits(500, 600))
    assert pair.low is not None
    assert pair.high is not None
    assert drawn.sentence == (
        "Do not tune: LoRA is not distinguishable from 8-shot prompting "
        f"(+0.5 points, 95% interval {100 * pair.low:.1f} to {100 * pair.high:.1f}) and costs 4.2x. "
        "Use 8-shot prompting: it is within 1 point of the best with 92% chance (likely)."
    )


def test_too_few_rows() -> None:
    drawn = judged({"few-shot": hits(18, 30), "lora": hits(19, 30, start=14)})
    pair = drawn.comparisons[0]
    assert (drawn.best, drawn.recommended, drawn.certainty, drawn.conclusive) == (
        "lora",
        "lora",
        "open",
        False,
    )
    assert not pair.distinguishable
    assert pair.rows_needed is not None
    assert pair.rows_needed > 60
    assert "there are not enough test rows" in drawn.sentence.lower()
    assert " would do, used here: 30): 8-shot prompting scores -3.3 points, 95% interval " in drawn.sentence
    assert "Use LoRA for now: it is within 1 point of the best with " in drawn.sentence
    assert drawn.sentence.endswith("% chance (open).")


def test_nothing_is_tuned_where_prompting_may_be_as_good() -> None:
    """The cheaper of two rungs without a significant difference wins only where little can be lost."""
    drawn = judged({"few-shot": hits(20, 30), "lora": hits(20, 30, start=14)})
    assert (drawn.recommended, drawn.certainty) == ("few-shot", "open")  # as good, so the cheaper one
    assert "Do not tune" not in drawn.sentence
    assert drawn.sentence.count("Use 8-shot prompting for now") == 1


def test_a_rung_that_is_ahead_is_said_to_be_ahead() -> None:
    """The chance decides, not the test of the pair: 98 % is clear where p is 0.07."""
    words = result("words", Measure("accuracy", 0.773, 0.7, 0.833, 150))
    nearest = hits(104, 150, start=39)
    drawn = judged({"zero-shot": nearest, "words": hits(116, 150)}, words=words)
    assert not drawn.comparisons[0].distinguishable
    assert drawn.conclusive
    assert "is ahead of zero-shot prompting by 8.0 points (95% interval -" in drawn.sentence
    assert "not distinguishable" not in drawn.sentence
    assert ": it scores 77.3% and is within 1 point of the best with " in drawn.sentence


def test_what_is_settled_is_said_next_to_what_is_not() -> None:
    drawn = judged({"few-shot": hits(5, 40), "lora": hits(33, 40), "full": hits(34, 40, start=35)})
    assert (drawn.recommended, drawn.best, drawn.conclusive) == ("full", "full", False)
    assert "there are not enough test rows to tell LoRA and full fine-tuning apart (about " in drawn.sentence
    drawn = judged(
        {"few-shot": hits(5, 40), "lora": hits(34, 40), "full": hits(35, 40, start=38)}, tolerance=4.0
    )
    assert (drawn.recommended, drawn.best, drawn.conclusive) == ("lora", "full", False)
    assert drawn.sentence.startswith("LoRA beats 8-shot prompting by 72.5 points")
    assert (
        "; there are not enough test rows to tell full fine-tuning and LoRA apart (about " in drawn.sentence
    )
    assert "within 4 points of the best" in drawn.sentence


@pytest.mark.parametrize("rows", [12, 50, 200])
def test_rows_asked_for_are_more_than_there_are(rows: int) -> None:
    rng = np.random.default_rng(rows)
    for _ in range(20):
        drawn = judged({"few-shot": rng.random(rows) < 0.6, "lora": rng.random(rows) < 0.63})
        pair = drawn.comparisons[0]
        if not drawn.conclusive:
            assert pair.rows_needed is not None
            assert pair.rows_needed > rows
            assert pair.difference.high is not None
            assert pair.difference.high * 100 > MARGIN


def test_one_row_settles_nothing() -> None:
    drawn = judged({"few-shot": [False], "lora": [True]})
    assert (drawn.recommended, drawn.certainty) == ("lora", "open")
    rows = examples(['{"a": 1}'])
    answers = {
        "few-shot": answered(SLOTS, rows, ['{"a": 2}']),
        "lora": answered(SLOTS, rows, ['{"a": 1}']),
    }
    drawn = verdict([result("few-shot"), result("lora")], answers, rows, SLOTS)
    assert (drawn.recommended, drawn.certainty) == ("lora", "open")
    assert "(used here: 1): 8-shot prompting scores -100.0 points and costs" in drawn.sentence


def test_holm_makes_many_comparisons_stricter() -> None:
    best, near = hits(60, 100), hits(52, 100)  # 8 rows against 0: p = 0.008
    assert judged({"zero-shot": near, "lora": best}).comparisons[0].p_value == pytest.approx(0.0078125)
    drawn = judged(
        {"zero-shot": hits(55, 100), "few-shot": hits(54, 100), "lora": hits(53, 100), "full": best}
    )
    raw = [stats.mcnemar(gap, 0) for gap in (5, 6, 7)]
    assert [one.p_value for one in drawn.comparisons[:3]] == pytest.approx(stats.holm(raw))
    assert raw[1] < 0.05
    assert not any(one.distinguishable for one in drawn.comparisons[:3] if one.second != "lora")
    assert "Holm-adjusted" in drawn.reasons[1]
    assert "Holm" in drawn.comparisons[0].difference.note


def test_micro_f1_and_chrf_use_the_paired_bootstrap() -> None:
    rows = examples(['{"a": 1, "b": 2}'] * 80)
    worse = ['{"a": 1, "b": 3}'] * 40 + ['{"a": 1, "b": 2}'] * 40
    better = ['{"a": 1, "b": 2}'] * 76 + ["?"] * 4
    answers = {"few-shot": answered(SLOTS, rows, worse), "lora": answered(SLOTS, rows, better)}
    drawn = verdict([result("few-shot"), result("lora")], answers, rows, SLOTS)
    pair = drawn.comparisons[0]
    assert (pair.test, pair.distinguishable, drawn.recommended) == ("paired bootstrap", True, "lora")
    assert pair.difference.value == pytest.approx(2 * 152 / (2 * 152 + 8) - 0.75)
    french = examples(["le chat dort bien ici"] * 60)
    answers = {
        "few-shot": answered(FRENCH, french, ["le chien"] * 60),
        "lora": answered(FRENCH, french, ["le chat dort"] * 59 + [""]),
    }
    drawn = verdict([result("few-shot"), result("lora")], answers, french, FRENCH)
    shown = [
        measures(FRENCH, french, answers[rung], [a.text for a in answers[rung]])[0].value  # type: ignore[arg-type]
        for rung in ("lora", "few-shot")
    ]
    assert shown[0] is not None
    assert shown[1] is not None
    assert drawn.comparisons[0].difference.unit == "points"
    assert drawn.comparisons[0].difference.value == pytest.approx(shown[0] - shown[1])
    assert f"LoRA beats 8-shot prompting by {shown[0] - shown[1]:.1f} points" in drawn.sentence


def test_the_seed_and_nothing_else_moves_the_bootstrap() -> None:
    rng = np.random.default_rng(0)
    line = "le chat noir dort bien ici toute la longue nuit"
    rows = examples([line] * 40)
    answers = {
        rung: answered(FRENCH, rows, [line[: rng.integers(5, end)] for _ in rows])
        for rung, end in (("few-shot", 40), ("lora", 47))
    }
    shuffled = {rung: some[::-1] for rung, some in answers.items()}
    results = [result("few-shot"), result("lora")]
    first = verdict(results, answers, rows, FRENCH, seed=3)
    assert first == verdict(results[::-1], shuffled, rows, FRENCH, seed=3)
    assert first.comparisons != verdict(results, answers, rows, FRENCH, seed=4).comparisons


def test_rows_with_a_fault_are_left_out_of_the_pair() -> None:
    rows = examples(["good"] * 50)
    few, lora = answered(MOOD, rows, ["bad"] * 50), answered(MOOD, rows, ["good"] * 50)
    few[:3] = [replace(one, status="error", values={}) for one in few[:3]]
    lora[-2:] = [replace(one, status="error", values={}) for one in lora[-2:]]
    counts = {"ok": 47, "error": 3}
    drawn = verdict(
        [result("few-shot", counts=counts), result("lora")], {"few-shot": few, "lora": lora[::-1]}, rows, MOOD
    )
    assert drawn.comparisons[0].difference.n == 45
    assert "8-shot prompting: 3 of 50 rows could not be graded and are left out." in drawn.reasons


def test_failed_and_skipped_rungs_are_reasons() -> None:
    failed = result("full", status="failed", reason="ran out of memory.", primary=None)
    skipped = result("zero-shot", status="skipped", reason="the budget is spent")
    drawn = judged({"few-shot": hits(10, 50), "lora": hits(45, 50)}, full=failed, zero_shot=skipped)
    assert drawn.recommended == "lora"
    assert "Full fine-tuning failed: ran out of memory." in drawn.reasons
    assert "Zero-shot prompting was skipped: the budget is spent." in drawn.reasons


def test_a_missed_format_is_a_reason() -> None:
    counts = {"ok": 30, "unparsed": 15, "truncated": 5}
    drawn = judged(
        {"zero-shot": hits(10, 50), "lora": hits(45, 50)}, zero_shot=result("zero-shot", counts=counts)
    )
    assert any(
        one.startswith(
            "Zero-shot prompting: 15 of 50 answers missed the format and 5 were longer than allowed"
        )
        for one in drawn.reasons
    )


def test_forgetting_is_told_by_its_size() -> None:
    right = {"few-shot": hits(10, 50), "lora": hits(45, 50)}
    assert (
        "forgot 0.31 nats/token, which costs general ability"
        in judged(right, lora=result("lora", kl=0.31)).sentence
    )
    assert "forgot less than 0.01 nats/token. Use" in judged(right, lora=result("lora", kl=0.001)).sentence
    assert "forgot" not in judged(right, lora=result("lora", forgetting=())).sentence


def test_only_one_rung() -> None:
    primary = Measure("accuracy", 0.8, 0.66, 0.89, 50)
    failed = result("few-shot", status="failed", reason="no shots fit")
    drawn = judged({"lora": hits(40, 50)}, lora=result("lora", primary), few_shot=failed)
    assert (drawn.recommended, drawn.best, drawn.best_prompting) == ("lora", "lora", None)
    assert not drawn.conclusive
    assert drawn.sentence == (
        "LoRA is the only rung that was measured (accuracy 80.0%, 95% interval 66.0 to 89.0); "
        "there is nothing to compare it with."
    )
    assert drawn.reasons == ("8-shot prompting failed: no shots fit.",)


def test_no_rung() -> None:
    failed = result("lora", status="failed", reason="the loss was not a number")
    drawn = verdict([failed], {}, examples(["good"]), MOOD)
    assert (drawn.recommended, drawn.best, drawn.conclusive) == (None, None, False)
    assert drawn.sentence == (
        "No rung was measured, so nothing can be recommended (LoRA: the loss was not a number)."
    )
    assert verdict([], {}, [], MOOD).sentence == "No rung was measured, so nothing can be recommended."


def test_only_prompting_or_only_tuning() -> None:
    drawn = judged({"zero-shot": hits(10, 90), "few-shot": hits(80, 90)})
    assert drawn.sentence.startswith(
        "8-shot prompting beats zero-shot prompting by 77.8 points (95% interval "
    )
    drawn = judged({"lora": hits(80, 90), "full": hits(80, 90, start=1)})
    assert (drawn.recommended, drawn.best_prompting) == ("lora", None)
    assert drawn.sentence.startswith("Full fine-tuning is not distinguishable from LoRA (0.0 points, 95%")


def test_rungs_without_rows_in_common() -> None:
    rows = examples(["good"] * 40)
    answers = {
        "few-shot": answered(MOOD, rows[:20], ["bad"] * 20),
        "lora": answered(MOOD, rows[20:], ["good"] * 20),
    }
    low, high = Measure("accuracy", 0.0, n=20), Measure("accuracy", 1.0, n=20)
    drawn = verdict([result("few-shot", low), result("lora", high)], answers, rows, MOOD)
    assert (drawn.best, drawn.recommended, drawn.comparisons) == ("lora", "lora", ())
    assert "8-shot prompting has no test rows in common with the best rung." in drawn.reasons
    assert not drawn.conclusive
    assert drawn.sentence == (
        "LoRA scored best (accuracy 100.0%), on test rows that no other rung answered. Use LoRA for now."
    )


def test_k_of_few_shot_and_names_not_on_the_ladder() -> None:
    unnamed = result("few-shot", choices=())
    other = replace(result("lora"), rung="mine", method="mine")
    rows = examples(["good"] * 50)
    answers = {
        "few-shot": answered(MOOD, rows, ["bad"] * 50),
        "mine": answered(MOOD, rows, ["good"] * 50),
    }
    drawn = verdict([unnamed, other], answers, rows, MOOD)
    assert drawn.sentence.startswith("Mine beats few-shot prompting by 100.0 points")


def test_prompt_tuning_is_tuning() -> None:
    tuned = replace(result("lora"), method="prompt")
    drawn = judged({"few-shot": hits(10, 50), "lora": hits(45, 50)}, lora=tuned)
    assert drawn.best_prompting == "few-shot"


def test_no_torch_is_needed() -> None:
    code = "import sys, rung.ladder.verdict, rung.ladder.sentence; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_lower_can_be_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answers by their share of misses: the same recommendation in the same words."""
    accuracy = METRICS["accuracy"]

    def misses(*given: Any) -> stats.Floats:
        rows = accuracy.rows(*given)
        return np.stack([1 - rows[:, 0], rows[:, 1]], axis=-1)

    monkeypatch.setattr(METRICS, "_items", dict(METRICS._items))
    METRICS.add("misses", replace(accuracy, rows=misses, higher_is_better=False))
    for lora in (90, 52):
        right = {"zero-shot": hits(20, 100), "few-shot": hits(50, 100), "lora": hits(lora, 100)}
        rows = examples(["good"] * 100)
        answers = {
            rung: answered(MOOD, rows, ["good" if one else "bad" for one in found])
            for rung, found in right.items()
        }
        results = [result(rung) for rung in right]
        high = verdict(results, answers, rows, MOOD)
        low = verdict(results, answers, rows, replace(MOOD, metrics=("misses",)))
        assert (low.recommended, low.best, low.conclusive) == (high.recommended, high.best, high.conclusive)
        assert low.sentence.split("the best with")[0] == high.sentence.split("the best with")[0]
        for mine, others in zip(low.regrets, high.regrets, strict=True):
            assert mine.expected == pytest.approx(others.expected, abs=0.003)
        for one, other in zip(low.comparisons, high.comparisons, strict=True):
            assert not one.difference.higher_is_better
            assert one.difference.value == pytest.approx(-(other.difference.value or 0))
            assert (one.distinguishable, one.rows_needed) == (other.distinguishable, other.rows_needed)


@pytest.mark.parametrize(("seconds", "taken"), [(1.2, "lora"), (0.85, "lora"), (0.5, "full")])
def test_costs_that_are_about_equal_leave_it_to_the_order(seconds: float, taken: str) -> None:
    rows = examples(["good"] * 100)
    same = {rung: answered(MOOD, rows, ["good"] * 100) for rung in ("lora", "full")}
    costs = {"lora": 1.0, "full": seconds}
    results = [
        replace(result(rung), cost=Cost(seconds=100.0, answer_seconds=each, answers=100))
        for rung, each in costs.items()
    ]
    assert verdict(results, same, rows, MOOD).recommended == taken


def test_costs_do_not_change_the_draws() -> None:
    """What is paid for answers orders the rungs, not the noise of the bootstrap."""
    right = {"words": hits(60, 100), "few-shot": hits(62, 100, 30), "lora": hits(61, 100, 60)}
    costs = {"few_shot": 50.0, "lora": 10.0}
    changed = {
        name: result(name.replace("_", "-"), cost=Cost(seconds=20.0, answer_seconds=each, answers=100))
        for name, each in costs.items()
    }
    words = result("words", cost=Cost(seconds=900.0, answer_seconds=1.0, answers=100))
    few, many = (judged(right, volume=volume, words=words, **changed) for volume in (1, 100_000))
    assert few.regrets == many.regrets


def test_regrets_are_in_the_order_of_the_ladder() -> None:
    drawn = judged({"words": hits(100, 400), "few-shot": hits(200, 400), "lora": hits(300, 400)})
    assert [one.rung for one in drawn.regrets] == ["words", "few-shot", "lora"]
    assert [round(one.expected, 1) for one in drawn.regrets] == [0.5, 0.2, 0.0]
    assert [one.chance for one in drawn.regrets] == [0.0, 0.0, 1.0]
    assert (drawn.certainty, drawn.tolerance, drawn.volume) == ("clear", 0.01, 10_000)
    assert any(reason.startswith("The rule: the cheapest rung at 10,000 answers") for reason in drawn.reasons)


def test_points_of_a_metric_that_is_in_points_are_not_divided() -> None:
    rows = examples(["le chat dort bien ici"] * 30)
    answers = {rung: answered(FRENCH, rows, ["le chat"] * 30) for rung in ("few-shot", "lora")}
    drawn = verdict([result("few-shot"), result("lora")], answers, rows, FRENCH, tolerance=2.0)
    assert (drawn.recommended, drawn.tolerance) == ("few-shot", 2.0)


def test_a_wider_tolerance_takes_the_cheaper_rung() -> None:
    right = {"few-shot": hits(185, 200), "lora": hits(195, 200)}
    assert judged(right).recommended == "lora"
    assert judged(right, tolerance=6.0).recommended == "few-shot"


def test_cost_counts_the_answers_that_will_be_asked_for() -> None:
    """Few-shot is cheap to make and expensive to use, the tuned rung the reverse."""
    right = {"few-shot": hits(300, 400), "lora": hits(300, 400)}
    costs = {
        "few_shot": result("few-shot", cost=Cost(seconds=60, answer_seconds=50, answers=400)),
        "lora": result("lora", cost=Cost(seconds=260, answer_seconds=10, answers=400)),
    }
    assert judged(right, volume=100, **costs).recommended == "few-shot"
    many = judged(right, volume=10_000, **costs)
    assert (many.recommended, many.volume) == ("lora", 10_000)
    assert "costs 2.5x" in many.sentence  # 10 + 1,250 seconds against 250 + 250
    unknown = costs | {"lora": result("lora")}
    assert judged(right, volume=10_000, **unknown).recommended == "few-shot"


def test_the_floor_is_never_recommended() -> None:
    drawn = judged({"constant": hits(280, 400), "lora": hits(200, 400), "few-shot": hits(150, 400)})
    assert (drawn.recommended, drawn.best, drawn.certainty) == (None, "constant", "open")
    assert drawn.sentence.startswith(
        "Nothing here is good enough yet: the same answer for every row needs no model"
    )
    assert "the nearest is LoRA" in drawn.sentence
    assert "Use" not in drawn.sentence
    ahead = judged({"constant": hits(200, 400), "lora": hits(203, 400, start=150)})
    assert ahead.recommended is None  # three rows ahead is not ahead in 80% of the draws
    assert "test rows would tell them apart, 400 were used." in ahead.sentence
    alone = judged({"constant": hits(280, 400)})
    assert alone.recommended is None
    assert alone.sentence.endswith("and as the floor it is not recommended.")


def test_the_floor_is_no_rival_and_what_beats_it_is_recommended() -> None:
    drawn = judged({"constant": hits(100, 400), "words": hits(200, 400), "lora": hits(300, 400)})
    assert (drawn.recommended, drawn.certainty) == ("lora", "clear")
    assert drawn.sentence.startswith("LoRA beats TF-IDF")


def test_do_not_tune_is_said_only_where_tuning_was_tried() -> None:
    probe = {"few-shot": hits(100, 400), "probe": hits(300, 400)}
    assert judged(probe).sentence.startswith("A probe on hidden states beats 8-shot prompting")
    tuned = judged(probe | {"lora": hits(200, 400)})
    assert tuned.sentence.startswith("Do not tune: a probe on hidden states beats LoRA by 25.0 points")
    assert "in 15 s" in tuned.sentence


def test_a_goal_that_is_missed_is_said() -> None:
    right = {"few-shot": hits(100, 200), "lora": hits(120, 200)}
    lora = result("lora", Measure("accuracy", 0.6, 0.53, 0.66, 200))
    missed = judged(right, goal=80, lora=lora)
    assert missed.recommended == "lora"
    assert "Use LoRA for now" in missed.sentence
    assert missed.sentence.endswith(
        "Nothing here is good enough yet: the goal is 80%, and the best, LoRA, scores 60.0%; "
        "it takes more training rows, longer training or a larger base."
    )
    full = result("full", status="unfinished", needs_seconds=1200.0)
    cut = judged(right, goal=80, lora=lora, full=full).sentence
    assert cut.endswith("scores 60.0%; a budget of 20 min would finish full fine-tuning.")
    assert "goal" not in judged(right, goal=60, lora=lora).sentence
    assert judged({"lora": right["lora"]}, goal=80, lora=lora).sentence.endswith("or a larger base.")


def test_of_rungs_within_the_tolerance_one_that_reaches_the_goal_is_taken() -> None:
    right = {"few-shot": hits(797, 1000), "lora": hits(802, 1000)}
    measured = {
        "few_shot": result("few-shot", Measure("accuracy", 0.797)),
        "lora": result("lora", Measure("accuracy", 0.802)),
    }
    assert judged(right, **measured).recommended == "few-shot"
    reached = judged(right, goal=80, **measured)
    assert reached.recommended == "lora"
    assert "goal" not in reached.sentence
    assert judged(right, goal=90, **measured).recommended == "few-shot"  # none reaches it


def partly(rows: int, few: list[bool], lora: list[bool], full: list[bool]) -> Verdict:
    """The verdict where full fine-tuning answered `rows` test rows alone."""
    every = examples(["good"] * len(few))
    texts = {
        name: ["good" if hit else "bad" for hit in one]
        for name, one in (("few-shot", few), ("lora", lora), ("full", full))
    }
    answers = {name: answered(MOOD, every, one) for name, one in texts.items()}
    answers["full"] = answers["full"][:rows]
    return verdict([result(name) for name in answers], answers, every, MOOD)


def test_rungs_that_answered_the_same_few_rows_are_named_in_one_sentence() -> None:
    every = examples(["good"] * 400)
    answers = {
        name: answered(MOOD, every, ["good" if hit else "bad" for hit in hits(right, 400)])
        for name, right in (("words", 250), ("few-shot", 200), ("lora", 300), ("full", 310))
    }
    answers |= {name: answers[name][:100] for name in ("few-shot", "full")}
    drawn = verdict([result(name) for name in answers], answers, every, MOOD)
    said = [line for line in drawn.reasons if "compared with the others on those" in line]
    assert len(said) == 1
    assert " and full fine-tuning answered 100 of 400 test rows, and are compared" in said[0]


def test_a_rung_that_answered_few_rows_takes_none_from_the_others() -> None:
    few, lora = hits(200, 400), hits(300, 400)
    alone = judged({"few-shot": few, "lora": lora})
    drawn = partly(40, few, lora, [False] * 400)
    assert (drawn.recommended, drawn.certainty) == ("lora", "clear")
    pairs = {pair.second: pair.difference.n for pair in drawn.comparisons}
    assert pairs == {"few-shot": 400, "full": 40}
    assert "Full fine-tuning answered 40 of 400 test rows, and is compared with the others on those." in (
        drawn.reasons
    )
    short = {one.rung: one.expected for one in drawn.regrets}
    before = {one.rung: one.expected for one in alone.regrets}
    assert short["few-shot"] == pytest.approx(before["few-shot"], abs=0.005)


def test_easy_rows_alone_do_not_make_a_rung_the_best() -> None:
    """LoRA is right on 300 of 400 rows; full fine-tuning answered 40 of these, all right but one."""
    full = [i != 7 for i in range(400)]
    drawn = partly(40, hits(200, 400), hits(300, 400), full)
    assert (drawn.best, drawn.recommended) == ("lora", "lora")


def test_what_the_plan_left_out_is_a_reason() -> None:
    rows = examples(["good"] * 40)
    answers = {
        "few-shot": answered(MOOD, rows, ["bad"] * 40),
        "lora": answered(MOOD, rows, ["good"] * 40),
    }
    note = "the budget left 40 of 581 test rows in use"
    drawn = verdict([result("few-shot"), result("lora")], answers, rows, MOOD, notes=(note,))
    assert "The budget left 40 of 581 test rows in use." in drawn.reasons


def test_an_unfinished_rung_is_compared_with_nothing() -> None:
    lora = result("lora", status="unfinished", done=0.21, needs_seconds=720.0)
    drawn = judged({"words": hits(100, 200), "few-shot": hits(150, 200), "lora": hits(0, 200)}, lora=lora)
    assert {one.rung for one in drawn.regrets} == {"words", "few-shot"}
    assert (
        "LoRA is not finished: it was cut short after 21% of what was planned and is not compared with "
        "others; a budget of 12 min would finish it."
    ) in drawn.reasons
    assert "Do not tune" not in drawn.sentence


def bounded(most: float | None, right: dict[str, Sequence[bool]], **kl: float | None) -> Verdict:
    """The verdict under a bound on forgetting; `kl` is what tuned rungs forgot, in nats a token."""
    rows = examples(["good"] * len(next(iter(right.values()))))
    answers = {
        rung: answered(MOOD, rows, ["good" if one else "bad" for one in hits]) for rung, hits in right.items()
    }
    results = []
    for rung, given in right.items():
        share = sum(given) / len(given)
        kind: RungKind = KINDS.get(rung, "prompt" if "shot" in rung else "tune")
        primary = Measure("accuracy", share, share - 0.05, share + 0.05, len(given))
        found = result(rung, primary, kind=kind)
        drift = () if kind != "tune" else (Measure("kl", kl.get(rung, 0.01), unit="nats/token"),)
        results.append(replace(found, forgetting=drift))
    return verdict(results, answers, rows, MOOD, max_forgetting=most)


def test_a_rung_above_the_bound_on_forgetting_is_not_recommended() -> None:
    right = {"few-shot": hits(200, 400), "lora": hits(280, 400), "full": hits(360, 400)}
    free = bounded(None, right, full=1.2)
    assert (free.best, free.recommended) == ("full", "full")
    drawn = bounded(0.5, right, full=1.2)
    assert (drawn.best, drawn.recommended, drawn.certainty) == ("lora", "lora", "clear")
    assert [one.rung for one in drawn.regrets] == ["few-shot", "lora"]  # not behind what cannot be used
    assert [(one.first, one.second) for one in drawn.comparisons] == [("lora", "few-shot")]
    assert drawn.sentence.startswith("LoRA beats 8-shot prompting by 20.0 points (95% interval ")
    assert drawn.sentence.endswith(
        "in 4 min 10 s; the tuned model forgot 0.01 nats/token; full fine-tuning scores 90.0%, but it forgot "
        "1.20 nats a token, at most 0.5 were allowed. Use LoRA: it scores 70.0% and is within 1 point of "
        "the best with more than 99% chance (clear)."
    )
    assert (
        "Full fine-tuning (accuracy 90.0%, 95% interval 85.0 to 95.0) is not recommended: it forgot 1.20 "
        "nats a token, at most 0.5 were allowed."
    ) in drawn.reasons


def test_a_bound_that_is_kept_changes_nothing() -> None:
    right = {"few-shot": hits(200, 400), "lora": hits(280, 400), "full": hits(360, 400)}
    kept, free = bounded(1.2, right, full=1.2), bounded(None, right, full=1.2)  # exactly the bound keeps it
    assert kept == free


def test_a_worse_rung_above_the_bound_is_in_the_reasons_alone() -> None:
    drawn = bounded(
        0.5, {"few-shot": hits(360, 400), "probe": hits(200, 400), "lora": hits(280, 400)}, lora=2.0
    )
    assert drawn.recommended == "few-shot"
    assert "LoRA" not in drawn.sentence
    assert any(one.startswith("LoRA (accuracy 70.0%") and "2.00 nats" in one for one in drawn.reasons)


def test_where_all_that_is_left_is_the_floor_nothing_can_be_recommended() -> None:
    drawn = bounded(0.5, {"constant": hits(200, 400), "lora": hits(280, 400)}, lora=1.2)
    assert (drawn.recommended, drawn.best, drawn.comparisons) == (None, "constant", ())
    assert drawn.sentence == (
        "LoRA forgot 1.20 nats a token, and at most 0.5 were allowed. The same answer for every row "
        "is the only other rung that was measured (accuracy 50.0%, 95% interval 45.0 to 55.0); "
        "there is nothing to compare it with, and as the floor it is not recommended."
    )
    right = {"constant": hits(200, 400), "zero-shot": hits(150, 400), "lora": hits(280, 400)}
    drawn = bounded(0.5, right, lora=1.2)
    assert drawn.recommended is None
    assert drawn.sentence.startswith("Nothing here is good enough yet: the same answer for every row")
    assert "and no other rung is reliably ahead of it; the nearest is zero-shot prompting" in drawn.sentence
    assert drawn.sentence.endswith(". LoRA forgot 1.20 nats a token, and at most 0.5 were allowed.")


def test_where_every_rung_is_above_the_bound_nothing_can_be_recommended() -> None:
    drawn = bounded(0.5, {"lora": hits(280, 400)}, lora=1.2)
    assert (drawn.recommended, drawn.best, drawn.conclusive) == (None, None, False)
    assert drawn.sentence == (
        "No rung can be recommended: LoRA forgot 1.20 nats a token, and at most 0.5 were allowed."
    )
    drawn = bounded(0.5, {"lora": hits(280, 400), "full": hits(300, 400)}, lora=1.2, full=0.9)
    assert drawn.recommended is None
    assert drawn.sentence == (
        "No rung can be recommended: LoRA forgot 1.20 and full fine-tuning 0.900 nats a token, and at most "
        "0.5 were allowed."
    )
    assert len([one for one in drawn.reasons if "is not recommended" in one]) == 2


def test_the_only_rung_that_keeps_the_bound() -> None:
    drawn = bounded(0.5, {"few-shot": hits(200, 400), "lora": hits(280, 400)}, lora=1.2)
    assert (drawn.recommended, drawn.best_prompting) == ("few-shot", "few-shot")
    assert drawn.sentence.startswith(
        "LoRA forgot 1.20 nats a token, and at most 0.5 were allowed. 8-shot prompting is the only "
        "other rung that was measured (accuracy 50.0%"
    )


def test_what_was_not_measured_is_said_and_not_held_against_the_rung() -> None:
    drawn = bounded(0.5, {"few-shot": hits(200, 400), "lora": hits(280, 400)}, lora=None)
    assert drawn.recommended == "lora"
    assert (
        "What LoRA forgot was not measured, so the bound of 0.5 nats a token was not checked."
        in drawn.reasons
    )
