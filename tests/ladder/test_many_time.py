"""How several files share one budget: cases worked by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contexts import SLOW
from rung.ladder.many_time import FEWEST_TEST, Pace, for_all, pace_of, share_of
from rung.ladder.plan import Plan
from rung.records import Cost, Quote, Result, Task, to_json
from rung.storage import write_json


def test_files_share_half_of_the_budget_and_make_up_for_each_other() -> None:
    assert share_of(1200, 0, 0, 3) == 200
    assert share_of(1200, 260, 1, 3) == 170  # the first took 60 s too much
    assert share_of(1200, 100, 1, 3) == 250
    assert share_of(1200, 560, 2, 3) is None  # less than a quarter of 200 s
    assert share_of(1200, 700, 2, 3) is None


def test_the_adapter_for_all_leaves_time_for_its_answers() -> None:
    fast, slow = Pace(0.1, 0, 0, 400), Pace(10.0, 50.0, 20.0, 400)
    assert for_all(1000, 500, [fast, fast]) == pytest.approx(500 - 1.15 * 80)
    assert for_all(1000, 500, [slow]) == pytest.approx(300)  # answers get 40 % of what is left at most
    assert for_all(1000, 950, [fast]) is None
    assert for_all(1000, 1100, [fast]) is None


def test_few_rows_are_all_answered() -> None:
    assert Pace(1.0, 2.0, 3.0, 30).fewest == 30
    assert Pace(1.0, 2.0, 3.0, 400).fewest == FEWEST_TEST
    assert Pace(1.0, 2.0, 3.0, 30).seconds == 35.0


def result(rung: str, seconds: float, answers: int) -> Result:
    cost = Cost(answer_seconds=seconds, answers=answers)
    return Result(rung, rung, "ok", 1, "tiny", "", cost=cost)


def written(folder: Path, *results: Result) -> Path:
    quote = Quote("lora", True, train_rows=100, epochs=2.0, train_tokens=10_000)
    rates: Any = {**to_json(SLOW), "score": 0.5}
    plan = Plan((quote,), 60, 393, 100, 2.0, 400, 1024, 600.0, 10.0, "fp32")
    write_json(folder / "plan.json", to_json(plan) | {"rates": rates})
    (folder / "results").mkdir()
    for one in results:
        write_json(folder / "results" / f"{one.rung}.json", to_json(one))
    return folder


def test_the_pace_is_what_the_own_adapter_has_shown(tmp_path: Path) -> None:
    folder = written(tmp_path, result("lora", 30.0, 150), result("few-shot", 100.0, 100))
    found = pace_of(folder, "lora", Task("generation", "", ("rouge_l",)), files=3)
    assert (found.row, found.rows, found.choosing) == (0.2, 150, 0.0)
    assert found.starts == pytest.approx(3 * 32 * 50 / SLOW.prefill)  # rows of 50 tokens
    labels = Task("classification", "", ("accuracy",), labels=("a", "b"))
    assert pace_of(folder, "lora", labels, 3).choosing == pytest.approx(60 * (0.2 + 0.5))


def test_without_an_own_adapter_the_slowest_rung_counts(tmp_path: Path) -> None:
    folder = written(tmp_path, result("zero-shot", 10.0, 100), result("few-shot", 100.0, 100))
    found = pace_of(folder, "lora", Task("generation", "", ("rouge_l",)), files=3)
    assert (found.row, found.rows) == (1.0, 393)
