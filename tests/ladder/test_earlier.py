"""A later climb in the same run folder adds rungs to what is there, or time to what lacked it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import letters
from rung import storage
from rung.errors import ResumeError
from rung.ladder import climb as climbing
from rung.ladder.climb import Climbed, climb
from rung.ladder.earlier import Earlier, drop_checkpoints, go_on, read_earlier
from rung.ladder.forecast import Size
from rung.ladder.plan import Plan
from rung.ladder.rungs import RUNGS, Rung
from rung.records import Quote, Result, from_json, to_json
from rung.report.view import load_view
from rung.storage import RunFolder

QUICK = letters.FAST | {"epochs": 1}


def plan_of(*quotes: Quote, **changes: Any) -> Plan:
    values: dict[str, Any] = {
        "dev_rows": 20,
        "test_rows": 40,
        "train_rows": 100,
        "epochs": 2.0,
        "step_tokens": 500,
        "pack_tokens": 1024,
        "budget": 60.0,
        "setup_seconds": 1.0,
        "precision": "fp32",
    }
    return Plan(quotes=quotes, **values | changes)


def quote(name: str, fits: bool = True, failed: bool = False) -> Quote:
    return Quote(name, fits=fits, failed=failed)


MOST = Size(dev=30, test=200, train=500, epochs=3.0)
OLD = plan_of(quote("words"), quote("lora", fits=False))


def going_on(
    pending: list[str], budget: float | None, new: Plan, old: Plan = OLD
) -> tuple[Plan, list[tuple[list[str], Size]]]:
    asked: list[tuple[list[str], Size]] = []

    def make(rungs: Any, size: Size) -> Plan:
        asked.append(([rung.name for rung in rungs], size))
        return new

    return go_on(old, [RUNGS[name] for name in pending], budget, MOST, make), asked


def test_a_plan_that_still_holds_is_kept() -> None:
    assert going_on(["lora"], 60.0, OLD) == (OLD, [])
    assert going_on([], 120.0, OLD) == (OLD, [])


def test_a_new_rung_is_planned_on_the_same_rows() -> None:
    new = plan_of(quote("full"), train_rows=80, notes=("new",))
    found, asked = going_on(["full"], 60.0, new)
    assert asked == [(["full"], Size(dev=20, test=40, train=100, epochs=2.0))]
    assert [one.rung for one in found.quotes] == ["words", "lora", "full"]
    assert (found.train_rows, found.test_rows, found.notes) == (80, 40, ("new",))


def test_another_budget_plans_what_is_pending_within_all_rows_but_keeps_test_and_dev() -> None:
    new = plan_of(quote("lora"), train_rows=500, test_rows=25, budget=None)
    found, asked = going_on(["lora"], None, new)
    assert asked == [(["lora"], Size(dev=20, test=40, train=500, epochs=3.0))]
    assert (found.budget, found.test_rows, found.dev_rows, found.train_rows) == (None, 40, 20, 500)
    assert [one.fits for one in found.quotes] == [True, True]


def test_a_rung_without_a_base_changes_nothing_of_the_training() -> None:
    new = plan_of(quote("nearest"), step_tokens=0, precision="", train_rows=7)
    found, _ = going_on(["nearest"], 60.0, new)
    assert (found.step_tokens, found.precision, found.train_rows) == (500, "fp32", 100)
    assert [one.rung for one in found.quotes] == ["nearest", "words", "lora"]


def test_a_rung_that_could_not_be_timed_is_planned_again() -> None:
    old = plan_of(quote("words"), quote("lora", fits=False, failed=True))
    found, asked = going_on(["lora"], 60.0, plan_of(quote("lora")), old)
    assert [names for names, _ in asked] == [["lora"]]
    assert found.quote("lora").fits


@pytest.mark.parametrize(
    ("status", "budget", "stands"),
    [
        ("ok", 60.0, True),
        ("ok", 600.0, True),
        ("failed", 60.0, False),
        ("skipped", 60.0, True),
        ("skipped", 600.0, False),
        ("unfinished", None, False),
    ],
)
def test_which_results_stand(status: Any, budget: float | None, stands: bool) -> None:
    result = Result("words", "words", status, 0, "", "")
    earlier = Earlier(plan=OLD, results={"words": result})
    assert (earlier.done(RUNGS["words"], budget) is not None) is stands
    assert earlier.done(RUNGS["nearest"], budget) is None


def test_checkpoints_of_other_sizes_are_dropped(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for name in ("lora", "full"):
        folder.file("checkpoints", name).mkdir(parents=True)
    drop_checkpoints(folder, OLD, replace(OLD, budget=None), [RUNGS["lora"]])
    assert folder.file("checkpoints", "lora").exists()
    drop_checkpoints(folder, OLD, replace(OLD, epochs=3.0), [RUNGS["lora"]])
    assert not folder.file("checkpoints", "lora").exists()
    assert folder.file("checkpoints", "full").exists()


def test_an_empty_folder_has_nothing(tmp_path: Path) -> None:
    assert read_earlier(RunFolder(tmp_path / "none")) == Earlier()


def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the rungs that run from now on."""
    names: list[str] = []
    real = climbing.run_rung

    def spy(context: Any, rung: Rung, limit: float | None = None) -> Result:
        names.append(rung.name)
        return real(context, rung, limit)

    monkeypatch.setattr(climbing, "run_rung", spy)
    return names


def test_rungs_asked_for_later_join_the_finished_ones(
    letters_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = climb(letters_csv, **QUICK | {"rungs": "words"})
    names = ran(monkeypatch)
    second = climb(letters_csv, **QUICK | {"rungs": "words,lora"})
    assert names == ["lora"]
    assert second.folder == first.folder
    assert [result.rung for result in second.results] == ["words", "lora"]
    assert second.results[0] == first.results[0]
    assert [result.status for result in second.results] == ["ok", "ok"]
    assert len(second.verdict.comparisons) == 1
    assert second.info.base == "tiny"
    third = climb(letters_csv, **QUICK | {"rungs": "constant"})
    assert names == ["lora", "constant"]
    assert [result.rung for result in third.results] == ["constant", "words", "lora"]
    assert [rung.name for rung in load_view(third.folder).rungs] == ["constant", "words", "lora"]
    assert third.results[1:] == second.results
    names.clear()
    assert climb(letters_csv, **QUICK | {"rungs": "constant"}).results == third.results
    assert names == []


def test_later_rungs_answer_as_they_would_have_in_one_climb(letters_csv: Path, tmp_path: Path) -> None:
    def answers(found: Climbed) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in (found.folder / "predictions").iterdir()}

    whole = climb(letters_csv, output=tmp_path / "whole", **QUICK | {"rungs": "words,zero-shot,lora"})
    for rungs in ("words", "zero-shot", "lora"):
        parts = climb(letters_csv, output=tmp_path / "parts", **QUICK | {"rungs": rungs})
    assert answers(parts) == answers(whole)


def test_another_budget_reuses_what_is_finished_and_runs_what_lacked_time(
    letters_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = climb(letters_csv, output=tmp_path / "run", **QUICK | {"rungs": "words,zero-shot"})
    short = replace(first.results[1], status="skipped", reason="does not fit in the budget")
    storage.write_json(first.folder / "results" / "zero-shot.json", to_json(short))
    names = ran(monkeypatch)
    settings = QUICK | {"rungs": "words,zero-shot", "output": tmp_path / "run"}
    assert climb(letters_csv, **settings).results[1].status == "skipped"
    assert names == []
    second = climb(letters_csv, **settings | {"budget": "20m"})
    assert names == ["zero-shot"]
    assert [result.status for result in second.results] == ["ok", "ok"]
    assert from_json(Plan, storage.read_json(second.folder / "plan.json")).budget == 1200
    assert second.info.applied["budget"] == 1200


def test_rows_that_the_base_cannot_read_make_the_cheap_rungs_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"text": text, "label": label} for text, label in letters.rows(60)]
    for row in rows[::12]:
        row["text"] = "m" * 300 + row["text"]
    settings = QUICK | {"output": tmp_path / "run", "max_length": 100, "long_rows": "drop"}
    climb(rows, **settings | {"rungs": "words"})
    names = ran(monkeypatch)
    found = climb(rows, **settings | {"rungs": "zero-shot"})
    assert names == ["words", "zero-shot"]
    (words, zero) = (storage.read_jsonl(found.folder / "predictions" / f"{n}.jsonl") for n in names)
    assert [row["example_id"] for row in words] == [row["example_id"] for row in zero]


def test_another_base_under_the_same_name_is_refused(letters_csv: Path, tmp_path: Path) -> None:
    settings = QUICK | {"rungs": "zero-shot", "output": tmp_path / "run"}
    climb(letters_csv, **settings)
    info = storage.read_json(tmp_path / "run" / "run.json")
    info["applied"]["base_fingerprint"] = "f00d"
    storage.write_json(tmp_path / "run" / "run.json", info)
    with pytest.raises(ResumeError, match="not the one that this run began with"):
        climb(letters_csv, **settings)
