"""One rung, run from what the climb has left on disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import letters
from rung import storage
from rung.cost import PeakMemory
from rung.errors import UsageError
from rung.evaluation.judging import Evaluation, judge
from rung.ladder import task
from rung.ladder.climb import Climbed, climb
from rung.ladder.plan import Plan
from rung.ladder.responder import Responder
from rung.ladder.rungs import RUNGS, Outcome
from rung.ladder.task import _affordable, from_disk, run_task
from rung.ladder.watch import Silent
from rung.records import Completion, Example, Quote, Result, from_json, to_json


@pytest.fixture
def copied(climbed: Climbed, tmp_path: Path) -> Path:
    """The climb as it stood before its rungs ran."""
    folder = tmp_path / "copied"
    shutil.copytree(climbed.folder, folder)
    for name in ("results", "predictions", "adapters", "answer"):
        shutil.rmtree(folder / name)
    return folder


def test_the_context_on_disk_is_that_of_the_climb(climbed: Climbed) -> None:
    context = from_disk(climbed.folder, Silent())
    assert [one.id for one in context.split.test] == [
        row["id"] for row in storage.read_jsonl(climbed.folder / "test.jsonl")
    ]
    assert (context.task, context.asked) == (climbed.info.task, climbed.info.asked)
    assert context.prepared.max_new_tokens == climbed.info.applied["max_new_tokens"]
    facts = climbed.info.data
    assert (len(context.prepared.split.train), len(context.prepared.split.dev)) == (
        facts["train_rows"],
        facts["dev_rows"],
    )


@pytest.mark.parametrize("name", ["few-shot", "lora", "full"])
def test_a_task_measures_what_the_climb_measured(climbed: Climbed, copied: Path, name: str) -> None:
    done = next(result for result in climbed.results if result.rung == name)
    result = run_task(copied, name)
    assert result == from_json(Result, storage.read_json(copied / "results" / f"{name}.json"))
    same = {"started": "", "finished": "", "cost": done.cost, "curve": ()}
    assert replace(result, **same) == replace(done, **same)
    assert [(p.train_loss, p.dev_loss) for p in result.curve] == [
        (p.train_loss, p.dev_loss) for p in done.curve
    ]
    for file in sorted((copied / "predictions").iterdir()):
        assert file.read_bytes() == (climbed.folder / "predictions" / file.name).read_bytes()
    for file in sorted((copied / "adapters").rglob("*.safetensors")):
        assert letters.digest(file) == letters.digest(climbed.folder / file.relative_to(copied))


def test_a_task_writes_none_of_the_climbs_own_files(copied: Path) -> None:
    own = ("run.json", "plan.json", "claim.json", "config.yaml", "test.jsonl", "data.jsonl", "verdict.json")
    before = {name: (copied / name).read_bytes() for name in own}
    run_task(copied, "zero-shot")
    assert {name: (copied / name).read_bytes() for name in own} == before


def test_another_process_runs_a_task_and_the_climb_takes_its_result(
    letters_csv: Path, tmp_path: Path
) -> None:
    settings = letters.FAST | {"epochs": 1, "rungs": "zero-shot,lora", "output": tmp_path / "run"}
    first = climb(letters_csv, **settings)
    (first.folder / "results" / "lora.json").unlink()
    code = (
        "from pathlib import Path\n"
        "from rung.ladder.task import run_task\n"
        f"run_task(Path({str(first.folder)!r}), 'lora')"
    )
    source = Path(__file__).parents[2] / "src"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(source)}, check=True)
    result = from_json(Result, storage.read_json(first.folder / "results" / "lora.json"))
    again = climb(letters_csv, **settings)
    assert again.results == (first.results[0], result)
    assert result.metrics == first.results[1].metrics


def test_a_folder_without_a_climb_or_a_rung_that_is_not_in_it_is_refused(
    climbed: Climbed, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="not the folder of a climb that has begun"):
        run_task(tmp_path, "lora")
    with pytest.raises(UsageError, match=r"no rung 'lorra'.*Its rungs: zero-shot, few-shot, lora, full"):
        run_task(climbed.folder, "lorra")


def test_training_that_was_cut_short_is_not_finished(copied: Path) -> None:
    plan = from_json(Plan, storage.read_json(copied / "plan.json"))
    soon = replace(plan, budget=60.0, limits={"lora": 0.0})
    storage.write_json(copied / "plan.json", to_json(soon))
    result = run_task(copied, "lora")
    assert result.status == "unfinished"
    steps = int(result.choices[0].chosen.split(",")[0].rsplit(" ", 1)[1])
    assert result.done == pytest.approx(1 / steps)
    assert result.reason == f"{1 / steps:.0%} of a fair training was done"
    assert result.primary is not None
    assert result.primary.value is not None
    assert len(storage.read_jsonl(copied / "predictions" / "lora.jsonl")) == 40
    assert (result.needs_seconds or 0) > 60
    assert not (copied / "checkpoints" / "lora").exists()


def test_a_sample_of_the_train_rows_is_named(copied: Path) -> None:
    plan = from_json(Plan, storage.read_json(copied / "plan.json"))
    few = tuple(replace(quote, train_rows=36) if quote.rung == "lora" else quote for quote in plan.quotes)
    storage.write_json(copied / "plan.json", to_json(replace(plan, quotes=few)))
    result = run_task(copied, "lora")
    assert "tuned on 36 of 130 train rows" in result.notes
    assert (result.status, result.done) == ("unfinished", pytest.approx(36 / 130))


def test_a_rung_with_fewer_test_rows_answers_some_of_the_shared_ones(copied: Path) -> None:
    plan = from_json(Plan, storage.read_json(copied / "plan.json"))
    few = tuple(replace(quote, test_rows=15) if quote.rung == "zero-shot" else quote for quote in plan.quotes)
    storage.write_json(copied / "plan.json", to_json(replace(plan, quotes=few)))
    result = run_task(copied, "zero-shot")
    assert result.primary is not None
    assert result.primary.n == 15
    answered = {row["example_id"] for row in storage.read_jsonl(copied / "predictions" / "zero-shot.jsonl")}
    assert answered < {row["id"] for row in storage.read_jsonl(copied / "test.jsonl")}
    assert "the budget left 15 of 40 test rows in use" in result.notes


def test_a_late_rung_answers_fewer_rows_but_a_hundred(climbed: Climbed) -> None:
    context = from_disk(climbed.folder, Silent())
    many = context.split.test * 10
    context.split = replace(context.split, test=many)
    context.settings = context.settings.model_copy(update={"budget": 100.0})
    quote = Quote("lora", True, seconds=50.0, answer_seconds=20.0, test_rows=400, train_seconds=25.0)
    context.planned = replace(context.plan, quotes=(quote,), limits={"lora": 60.0}, budget=100.0)
    outcome = Outcome(responder=None)  # type: ignore[arg-type]
    assert len(_affordable(context, quote, 30.0, outcome)) == 400
    assert len(_affordable(context, quote, 45.0, outcome)) == 200  # 30 s at this pace, 15 s left
    assert len(_affordable(context, quote, 500.0, outcome)) == 100
    context.planned = replace(context.plan, limits={})
    assert len(_affordable(context, quote, 500.0, outcome)) == 400


def test_a_rung_whose_time_is_up_before_it_answers_is_not_finished(copied: Path) -> None:
    plan = from_json(Plan, storage.read_json(copied / "plan.json"))
    storage.write_json(copied / "plan.json", to_json(replace(plan, budget=60.0, limits={"few-shot": 0.0})))
    result = run_task(copied, "few-shot")
    assert (result.status, result.primary) == ("unfinished", None)
    assert result.reason == "its time was up before it could answer test rows"
    assert (result.needs_seconds or 0) >= 60
    assert storage.read_jsonl(copied / "predictions" / "few-shot.jsonl") == []


def test_both_costs_of_a_rung_are_measured(climbed: Climbed) -> None:
    costs = {result.rung: result.cost for result in climbed.results}
    for cost in costs.values():
        assert cost.answers == 40
        assert cost.seconds is not None
        assert 0 < (cost.answer_seconds or 0) < cost.seconds
        assert cost.making_seconds == pytest.approx(cost.seconds - (cost.answer_seconds or 0))
        assert cost.answer_money is None
    read = {rung: (cost.answer_tokens or 0) - (cost.answer_written or 0) for rung, cost in costs.items()}
    assert read["few-shot"] > read["zero-shot"] > 0  # the examples are read for every answer
    assert read["lora"] > 0
    assert costs["lora"].answer_written == 0  # labels are picked


class _Slow(Responder):
    """Takes 7 seconds to answer and 100 to be saved, by the clock of the test."""

    def __init__(self, now: list[float]) -> None:
        self.now = now

    def answer(self, examples: Sequence[Example], watcher: object = None) -> list[Completion]:
        self.now[0] += 7
        return [Completion(one.id, "x", tokens=2, read=place) for place, one in enumerate(examples)]

    def save(self, folder: Path) -> None:
        self.now[0] += 100


def test_grading_is_no_part_of_a_rungs_cost(climbed: Climbed, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    class Clock:
        def __init__(self) -> None:
            self.start = now[0]

        @property
        def seconds(self) -> float:
            return now[0] - self.start

    def slowly(*given: Any) -> Evaluation:
        now[0] += 1000
        return judge(*given)

    monkeypatch.setattr(task.cost, "Stopwatch", Clock)
    monkeypatch.setattr(task, "judge", slowly)
    context = from_disk(climbed.folder, Silent())
    context.settings = context.settings.model_copy(update={"price_per_hour": 3600.0})
    outcome, test = Outcome(_Slow(now), train_seconds=20.0), context.split.test[:5]
    evaluation, answering = task._answered(context, RUNGS["zero-shot"], outcome, test)
    assert len(evaluation.answers) == 5
    assert (answering.answer_seconds, answering.answers, answering.answer_money) == (7.0, 5, 7.0)
    assert (answering.answer_tokens, answering.answer_written) == (4.0, 2.0)
    made = task._cost(context, outcome, 30.0, answering, PeakMemory())
    assert (made.seconds, made.making_seconds, made.eval_seconds) == (37.0, 30.0, 17.0)
    assert (made.money, made.making_money, made.answers) == (37.0, 30.0, 5)
