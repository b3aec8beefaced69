"""What would help most: each finding from its evidence, and silence without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from rung.ladder.helps import MOST
from rung.ladder.verdict import verdict
from rung.records import Answer, CurvePoint, Example, Measure, Message, Quote, Result, RungKind, Task, Verdict

MOOD = Task("classification", "", ("accuracy",), labels=("good", "bad"))
KINDS: dict[str, RungKind] = {
    "constant": "floor",
    "words": "classical",
    "zero-shot": "prompt",
    "few-shot": "prompt",
    "head": "tune",
    "lora": "tune",
    "lora-dpo": "tune",
}


def result(rung: str, **fields: object) -> Result:
    made = Result(rung, rung, "ok", list(KINDS).index(rung), "tiny", "f", kind=KINDS[rung])
    return replace(made, **fields)  # type: ignore[arg-type]


def judged(
    right: dict[str, Sequence[bool]], task: Task = MOOD, goal: float | None = None, **changed: Result
) -> Verdict:
    n = len(next(iter(right.values())))
    rows = [
        Example(f"{i:016x}", (Message("user", str(i)), Message("assistant", "good")), i + 1) for i in range(n)
    ]
    answers = {
        rung: [
            Answer(row.id, "", "ok", "good" if hit else "bad", {"accuracy": float(hit)})
            for row, hit in zip(rows, hits, strict=True)
        ]
        for rung, hits in right.items()
    }
    results = [changed.pop(rung, None) or result(rung) for rung in right]
    return verdict([*results, *changed.values()], answers, rows, task, goal=goal)


def first(right: int, of: int, start: int = 0) -> list[bool]:
    return [(i - start) % of < right for i in range(of)]


CLEAR = {"words": first(100, 400), "lora": first(300, 400)}


def curve(*losses: tuple[float, float]) -> tuple[CurvePoint, ...]:
    """(train, dev) losses every ten steps."""
    return tuple(
        CurvePoint(10 * (i + 1), 0, 0.0, train_loss=train, dev_loss=dev)
        for i, (train, dev) in enumerate(losses)
    )


def test_without_evidence_nothing_is_said() -> None:
    assert judged(CLEAR).helps == ()


def test_dev_loss_that_still_falls_asks_for_longer_training() -> None:
    falling = result("lora", curve=curve((0.9, 0.9), (0.7, 0.8), (0.6, 0.7)))
    assert judged(CLEAR, lora=falling).helps == (
        "Train LoRA longer: its dev loss was still falling at the end, from 0.800 to 0.700 nats/token "
        "between steps 20 and 30.",
    )
    for losses in (
        ((0.9, 0.9), (0.7, 0.7), (0.6, 0.699)),
        ((0.9, 0.6), (0.7, 0.9), (0.6, 0.8)),
        ((0.9, 0.9),),
    ):
        assert judged(CLEAR, lora=result("lora", curve=curve(*losses))).helps == ()


def test_the_loss_of_a_head_is_of_rows() -> None:
    falling = result("head", curve=curve((0.9, 0.9), (0.7, 0.8), (0.6, 0.7)))
    (said,) = judged({"words": CLEAR["words"], "head": CLEAR["lora"]}, head=falling).helps
    assert "from 0.800 to 0.700 nats/row between" in said


def test_the_loss_of_preferences_is_of_pairs() -> None:
    falling = result("lora-dpo", curve=curve((0.9, 0.9), (0.7, 0.8), (0.6, 0.7)))
    (said,) = judged({"words": CLEAR["words"], "lora-dpo": CLEAR["lora"]}, **{"lora-dpo": falling}).helps
    assert "from 0.800 to 0.700 nats/pair between" in said


def test_a_rung_alone_has_evidence_too() -> None:
    falling = result("lora", curve=curve((0.9, 0.9), (0.7, 0.8), (0.6, 0.7)))
    drawn = judged({"lora": CLEAR["lora"]}, lora=falling)
    assert drawn.certainty is None
    assert drawn.helps[0].startswith("Train LoRA longer")


def test_a_rung_that_was_cut_short_is_named_with_its_budget() -> None:
    cut = result("lora", status="unfinished", done=0.3, needs_seconds=600.0)
    right = {"words": first(100, 400), "few-shot": first(300, 400)}
    assert judged(right, lora=cut).helps == (
        "LoRA was cut short at 30%: a budget of 10 min would finish it.",
    )


def test_an_open_verdict_asks_for_test_rows() -> None:
    drawn = judged({"words": first(18, 30), "lora": first(20, 30, start=14)})
    assert drawn.certainty == "open"
    needed = drawn.comparisons[0].rows_needed
    assert needed is not None
    assert drawn.helps[0].startswith("More test rows: about ")
    assert drawn.helps[0].endswith("would settle LoRA against TF-IDF and logistic regression, 30 were used.")


def test_labels_that_every_rung_contradicts_are_listed() -> None:
    wrong = {4, 9, 19, 29, 39, 49}  # rows from 0
    right = {
        "words": [i not in wrong and i >= 100 for i in range(400)],
        "few-shot": [i not in wrong and i < 300 for i in range(400)],
        "lora": [i not in wrong for i in range(400)],
    }
    said = (
        "Check the labels: on 6 of 400 test rows all 3 rungs agree on another label than the file has "
        "(rows 5, 10, 20, 30, 40, ...).",
    )
    assert judged(right).helps == said
    assert (
        judged(right | {"constant": [True] * 200 + [False] * 200}).helps == said
    )  # the floor does not count
    assert judged({"words": right["words"], "lora": right["lora"]}).helps == ()  # two are too few
    other = replace(MOOD, kind="generation")
    assert judged(right, task=other).helps == ()


def test_few_rows_a_label_ask_for_training_rows() -> None:
    few = result("lora", quote=Quote("lora", True, train_rows=60))
    assert judged(CLEAR, lora=few).helps == ("More training rows: there are 60 for 2 labels, about 30 each.",)
    enough = result("lora", quote=Quote("lora", True, train_rows=600))
    assert judged(CLEAR, lora=enough).helps == ()


def test_a_gap_between_train_and_dev_asks_for_training_rows() -> None:
    over = result("lora", curve=curve((0.5, 0.6), (0.2, 0.5), (0.1, 0.7)))
    assert judged(CLEAR, lora=over).helps == (
        "More training rows: LoRA overfits, its lowest dev loss is 0.500 nats/token "
        "where its train loss is 0.200.",
    )
    other = {"words": first(300, 400), "lora": first(100, 400)}
    assert judged(other, lora=over).helps == ()  # a rung that lost does not say what the data lack


@pytest.mark.parametrize(("goal", "said"), [(90, True), (78, False), (None, False)])
def test_a_goal_far_off_asks_for_a_larger_base(goal: float | None, said: bool) -> None:
    lora = result("lora", primary=Measure("accuracy", 0.75, 0.7, 0.8, 400))
    helps = judged(CLEAR, goal=goal, lora=lora).helps
    assert bool(helps) == said
    if said:
        assert helps == ("A larger base: LoRA is the best rung and 15.0 points from the goal of 90.",)


def test_no_more_than_three_are_said_and_longer_training_is_the_first() -> None:
    everything = result(
        "lora",
        primary=Measure("accuracy", 0.6, 0.4, 0.8, 30),
        curve=curve((0.9, 0.9), (0.1, 0.5)),
        quote=Quote("lora", True, train_rows=60),
    )
    rungs = {"words": first(18, 30), "few-shot": first(19, 30), "lora": first(20, 30, start=1)}
    helps = judged(rungs, goal=95, lora=everything).helps
    assert len(helps) == MOST
    assert [one.split(" ")[0] for one in helps[:1]] == ["Train"]
