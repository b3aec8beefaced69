"""A later climb in the same run folder adds rungs to what is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import letters
from contexts import SLOW, context_of, ran
from rung import cost, storage
from rung.config import make_settings
from rung.errors import ResumeError
from rung.ladder import quote as quoting
from rung.ladder.climb import Climbed, climb
from rung.ladder.context import Context
from rung.ladder.earlier import MORE, open_again
from rung.ladder.fitting import FEWEST_TEST
from rung.ladder.plan import Plan, enough_test_rows, make_plan, most_of
from rung.ladder.prepare import Prepared
from rung.ladder.rungs import Rung, asked_for
from rung.records import Result, from_json, to_json
from rung.report.view import load_view

QUICK = letters.FAST | {"epochs": 1}


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


# --- another budget: speeds and clock are made up ----------------------------------------------------------


class Clock:
    """A second has passed, always."""

    def __init__(self, before: float = 0.0) -> None:
        self.seconds = 1.0


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quoting, "Timing", lambda *_, **__: SLOW)
    monkeypatch.setattr(cost, "Stopwatch", Clock)


@pytest.mark.usefixtures("timed")
def test_a_longer_budget_runs_what_was_cut_short_and_keeps_the_rest(
    letters_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = QUICK | {"output": tmp_path / "run", "rungs": "words,zero-shot,full"}
    first = climb(letters_csv, **settings | {"budget": 20})
    assert [result.status for result in first.results] == ["ok", "ok", "unfinished"]
    assert climb(letters_csv, **settings | {"budget": 21}).results[:2] == first.results[:2]
    names = ran(monkeypatch)
    second = climb(letters_csv, **settings | {"budget": "1h"})
    assert names == ["full"]
    assert [result.status for result in second.results] == ["ok", "ok", "ok"]
    assert second.results[:2] == first.results[:2]
    assert {sum(result.counts.values()) for result in second.results} == {40}
    assert second.info.applied["budget"] == 3600
    assert from_json(Plan, storage.read_json(tmp_path / "run" / "plan.json")).budget == 3600
    for budget in ("1h", "2h", 20):  # shorter again
        assert climb(letters_csv, **settings | {"budget": budget}).results == second.results
    assert names == ["full"]


def climbed_at(
    prepared: Prepared, folder: Path, budget: float, later: float | str, **status: str
) -> tuple[Context, list[Rung]]:
    """A context with `later` as its budget after a climb with `budget`, whose rungs ended with `status`."""

    def context_at(budget: float | str) -> Context:
        asked = {"base": "tiny", "budget": budget, "rungs": ",".join(status).replace("_", "-")}
        asked |= {"kl_penalty": 0}  # general texts would be most of such small budgets
        many = replace(prepared.split, test=prepared.split.test * 12)
        return context_of(replace(prepared, settings=make_settings(asked), split=many), folder)

    context = context_at(budget)
    rungs = asked_for(context.settings)
    plan = make_plan(context, rungs, Clock())
    for rung in rungs:
        quote, state = plan.quote(rung.name), status[rung.name.replace("-", "_")]
        if state == "waits":
            continue
        plan = replace(plan, begun=(*plan.begun, rung.name)) if quote.fits else plan
        counts = {"ok": quote.test_rows} if state == "ok" else {}
        result = Result(rung.name, "", state, 0, "", "", quote=quote, counts=counts)  # type: ignore[arg-type]
        if state != "begun":
            storage.write_json(folder / "results" / f"{rung.name}.json", to_json(result))
    context = context_at(later)
    context.settle(plan)
    return context, rungs


def opened(context: Context, rungs: list[Rung]) -> list[str]:
    """The names of the rungs that are planned again."""
    open_again(context, rungs, Clock())
    stored = from_json(Plan, storage.read_json(context.folder.file("plan.json")))
    assert stored == context.plan
    return [rung.name for rung in rungs if context.plan.find(rung.name) is None]


def test_what_was_cut_short_or_has_not_begun_is_planned_again(prepared: Prepared, tmp_path: Path) -> None:
    status = {"words": "ok", "zero_shot": "unfinished", "lora": "begun", "full": "waits"}
    context, rungs = climbed_at(prepared, tmp_path, 3000, 6000, **status)
    lora = context.plan.quote("lora")
    assert opened(context, rungs) == ["zero-shot", "full"]
    assert [path.stem for path in sorted((tmp_path / "results").iterdir())] == ["words"]
    assert context.plan.begun == ("words", "lora")  # LoRA continues as it was planned
    assert context.plan.quote("lora") == lora
    assert set(context.plan.limits) == {"words", "lora"}


def test_the_same_budget_changes_nothing(prepared: Prepared, tmp_path: Path) -> None:
    context, rungs = climbed_at(prepared, tmp_path, 3000, 3000, words="ok", lora="unfinished")
    plan = context.plan
    open_again(context, rungs, Clock())
    assert context.plan is plan
    assert not (tmp_path / "plan.json").exists()


@pytest.mark.parametrize(
    ("later", "again"),
    [("none", ["zero-shot", "lora"]), (300, ["zero-shot", "lora"]), (50, ["lora"]), (45.5, []), (38, [])],
)
def test_a_finished_rung_runs_again_where_it_gets_more_rows(
    prepared: Prepared, tmp_path: Path, later: float | str, again: list[str]
) -> None:
    context, rungs = climbed_at(prepared, tmp_path, 45, later, zero_shot="ok", lora="ok")
    quotes = context.plan.quotes
    assert quotes[0].test_rows == FEWEST_TEST < context.plan.test_rows
    assert 0 < MORE * quotes[1].train_rows < len(prepared.split.train)
    assert opened(context, rungs) == again
    kept = [path.stem for path in (tmp_path / "results").iterdir()]
    assert sorted([*kept, *again]) == ["lora", "zero-shot"]


def test_a_finished_rung_takes_no_time_from_one_that_did_not_fit(prepared: Prepared, tmp_path: Path) -> None:
    status = {"lora": "ok", "full": "skipped"}
    seen = []
    for later in (32, 60, 90, 120, 200):
        context, rungs = climbed_at(prepared, tmp_path / str(later), 28, later, **status)
        assert not context.plan.quote("full").fits
        seen.append(opened(context, rungs))
        waiting = [rung for rung in rungs if rung.name in seen[-1]]
        context.size = most_of(context.settings, context.whole, before=context.plan)
        full = make_plan(context, waiting, Clock(), context.plan).quote("full")
        assert full.fits is (
            later > 32
        )  # where 32 s are no fair try, a budget is named that the next one has
        assert full.fits or full.why.endswith("about 59 s would do")
    assert seen == [["full"]] * 3 + [["lora", "full"]] * 2
    context, rungs = climbed_at(prepared, tmp_path / "alone", 28, 60, lora="ok")
    assert opened(context, rungs) == ["lora"]


def test_the_test_rows_stay_the_same_with_another_budget(prepared: Prepared, tmp_path: Path) -> None:
    context, rungs = climbed_at(prepared, tmp_path, 3000, "none", words="ok", zero_shot="unfinished")
    rows = context.split.test
    assert len(rows) == enough_test_rows() < len(context.whole.test)
    opened(context, rungs)
    context.size = most_of(context.settings, context.whole, before=context.plan)
    context.settle(make_plan(context, rungs[1:], Clock(), context.plan))
    assert context.split.test == rows
    assert context.plan.quote("zero-shot").test_rows == len(rows)
