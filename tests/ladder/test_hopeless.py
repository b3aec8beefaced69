"""A tuned rung that cannot win is left out after short trainings, and one that may is trained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contexts import SLOW, Saying, context_of
from rung.ladder import climb as climbing
from rung.ladder import hopeless
from rung.ladder.climb import Climbed, climb
from rung.ladder.context import Context
from rung.ladder.hopeless import affordable, look
from rung.ladder.plan import Plan
from rung.ladder.prepare import Prepared
from rung.ladder.responder import Responder
from rung.ladder.rungs import RUNGS, Outcome
from rung.ladder.watch import Silent
from rung.records import Choice, Completion, Forecast, Measure, Point, Quote, Result, from_json, to_json
from rung.train import trainer
from tiny_model import copy_of, same_bytes

LORA = RUNGS["lora"]
QUICK: dict[str, Any] = {"base": "tiny", "threads": 1, "precision": "fp32", "rungs": "words,lora"}
LEARNS = QUICK | {"budget": "60s", "learning_rate": 0.02, "epochs": 4, "batch_tokens": 200}


@pytest.fixture
def context(prepared: Prepared, tmp_path: Path) -> Context:
    """A climb with a budget, in which a long training of LoRA is about to begin and words are at 95%."""
    found = context_of(prepared, tmp_path)
    found.settings = prepared.settings.model_copy(update={"budget": 600.0})
    found.speeds = replace(SLOW, prefill=20_000.0, decode=20_000.0)
    rows = len(prepared.split.train)
    quote = Quote("lora", True, seconds=300.0, train_rows=rows, epochs=2.0, train_seconds=280.0, test_rows=20)
    found.settle(Plan((quote,), 30, 20, rows, 2.0, 200, 1024, 600.0, 0.0, "fp32"))
    keep(found, "words", "classical", Choice("C", "1", {"1": 0.95}))
    return found


def keep(context: Context, name: str, kind: Any, *choices: Choice) -> None:
    quote = Quote(name, True, train_rows=100, dev_rows=30)
    done = Result(name, name, "ok", 1, "", "ab", quote=quote, choices=choices, kind=kind)
    path = context.folder.file("results", f"{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(to_json(done)))


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.Trainer, "run", lambda self: pytest.fail("something was trained"))


def test_short_trainings_stay_within_a_tenth_of_the_time(context: Context) -> None:
    quote = context.plan.quote("lora")
    found = affordable(context, LORA, quote)
    assert found is not None
    smallest, middle, largest = found.rows
    assert (smallest, middle) == (largest // 4, largest // 2)
    assert largest <= quote.train_rows // 2
    assert sum(found.seconds) <= 30.0
    assert found.dev == 30
    shorter = replace(quote, seconds=160.0)
    less = affordable(context, LORA, shorter)
    assert less is not None
    assert less.rows[-1] < largest
    assert affordable(context, LORA, replace(quote, seconds=20.0)) is None


def test_two_short_trainings_where_three_do_not_fit(context: Context) -> None:
    quote = context.plan.quote("lora")
    counts = []
    for seconds in range(300, 30, -10):
        found = affordable(context, LORA, replace(quote, seconds=float(seconds)))
        counts.append(len(found.rows) if found else 0)
    assert set(counts) == {3, 2, 0}
    assert counts == sorted(counts, reverse=True)


def test_expensive_answers_leave_no_time(context: Context) -> None:
    context.speeds = replace(SLOW, decode=2.0)
    assert affordable(context, LORA, context.plan.quote("lora")) is None


@pytest.mark.parametrize("why", ["no budget", "off", "short", "known", "no bar", "not tuned"])
def test_where_it_is_not_worth_it_nothing_is_trained(
    context: Context, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    forbid(monkeypatch)
    plan = context.plan
    off: dict[str, dict[str, Any]] = {"no budget": {"budget": None}, "off": {"stop_when_hopeless": False}}
    context.settings = context.settings.model_copy(update=off.get(why, {}))
    if why == "short":
        context.planned = replace(plan, quotes=(replace(plan.quotes[0], train_seconds=50.0),))
    if why == "known":
        context.planned = replace(plan, forecasts={"lora": Forecast(0.5, 0.4, 0.6)})
    if why == "no bar":
        context.folder.file("results", "words.json").unlink()
    if why == "not tuned":
        context.planned = replace(plan, quotes=(replace(plan.quotes[0], rung="probe"),))
    assert not look(context, RUNGS["probe"] if why == "not tuned" else LORA)


def test_a_low_bar_needs_no_look(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch)
    keep(context, "words", "classical", Choice("C", "1", {"1": 0.15}))
    assert not look(context, LORA)


def test_a_rung_that_hardly_learns_is_left_out(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    before = copy_of(context.prepared.base.model)
    monkeypatch.setattr(hopeless, "_ABOVE", 0.0)
    flat = iter((0.1, 0.12, 0.11))
    real = hopeless._short

    def short(*given: Any) -> Point:
        point = real(*given)
        assert point is not None
        return replace(point, score=next(flat))

    monkeypatch.setattr(hopeless, "_short", short)
    context.watcher = saying = Saying()
    assert look(context, LORA)
    quote, found = context.plan.quote("lora"), context.plan.forecasts["lora"]
    assert (quote.fits, quote.screened) == (False, True)
    assert found.chance is not None
    assert found.chance < hopeless.CHANCE
    assert found.low <= found.value <= found.high
    assert (found.best, len(found.points)) == ("words", 3)
    assert quote.why.startswith("left out as hopeless: accuracy ")
    assert quote.why.endswith("; --no-stop-when-hopeless trains it anyway")
    assert "80% interval" in quote.why
    assert "words has " in quote.why
    first, second = saying.said
    assert first.startswith("lora: short trainings on ")
    assert second.endswith(". It is left out")
    assert same_bytes(copy_of(context.prepared.base.model), before)
    assert from_json(Plan, to_json(context.plan)) == context.plan


def test_a_rung_that_has_not_begun_to_learn_is_trained() -> None:
    found = Forecast(0.5, 0.4, 0.6, chance=0.01, points=(Point(10, 0.5, 0.1), Point(20, 0.6, 0.05)))
    assert hopeless.hopeless(found, floor=0.5)
    assert not hopeless.hopeless(found, floor=0.55)
    assert not hopeless.hopeless(replace(found, chance=0.05), floor=0.0)
    assert not hopeless.hopeless(replace(found, chance=None), floor=0.0)


def test_a_rung_that_passes_the_bar_at_once_needs_one_look(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hopeless, "_short", lambda *_: Point(10, 0.99, 0.05))
    assert look(context, LORA)
    found = context.plan.forecasts["lora"]
    assert len(found.points) == 1
    assert context.plan.quote("lora").fits


def test_what_all_rows_would_give_is_said_where_the_plan_leaves_fewer(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hopeless, "_short", lambda *given: Point(given[3], 0.99, 0.05))
    quote = replace(context.plan.quote("lora"), train_rows=len(context.whole.train) - 1)
    context.planned = replace(context.plan, quotes=(quote,))
    context.watcher = saying = Saying()
    assert look(context, LORA)
    most = context.plan.forecasts["lora"].with_all
    assert most is not None
    assert most[1] <= most[0] <= most[2]
    assert "with all of them, from short trainings on" in "".join(saying.said)


def test_a_rung_that_fails_is_not_left_out(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.Trainer, "run", lambda self: 1 / 0)
    assert look(context, LORA)
    assert context.plan.quote("lora").fits
    assert context.plan.forecasts == {}
    assert "short training failed" in context.folder.file("events.jsonl").read_text()


def test_a_stop_leaves_the_base_as_it_was(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    class Impatient(Silent):
        def rows(self, done: int, total: int) -> None:
            raise KeyboardInterrupt

    before = copy_of(context.prepared.base.model)
    context.watcher = Impatient()
    with pytest.raises(KeyboardInterrupt):
        look(context, LORA)
    assert same_bytes(copy_of(context.prepared.base.model), before)


def test_the_nearest_row_is_scored_without_the_dev_rows(context: Context) -> None:
    keep(context, "nearest", "classical")
    nearest = next(bar for bar in hopeless._bars(context, 1.0, 9.0) if bar.rung == "nearest")
    assert 0 < nearest.score < 1  # it would find each dev row itself
    assert nearest.error > 0
    assert [bar.rung for bar in hopeless._bars(context, 1.0, -1.0)] == ["words"]  # no time to fit it again


def test_a_rung_above_the_bound_on_forgetting_is_no_bar(context: Context) -> None:
    """Or it would leave out rungs that can be recommended, and is never recommended itself."""
    dev = Measure("accuracy", 0.99, 0.97, 1.0, 30)
    drift = (Measure("kl", 1.2, unit="nats/token"),)
    done = Result("full", "full", "ok", 9, "", "ab", dev=dev, forgetting=drift, kind="tune")
    context.folder.file("results", "full.json").write_text(json.dumps(to_json(done)))
    assert [bar.rung for bar in hopeless._bars(context, 1.0, 0.0)] == ["full", "words"]
    context.settings = context.settings.model_copy(update={"max_forgetting": 0.5})
    assert [bar.rung for bar in hopeless._bars(context, 1.0, 0.0)] == ["words"]


def test_an_error_on_dev_rows_closes_what_answers(context: Context) -> None:
    class Broken(Responder):
        def answer(self, examples: object, watcher: object = None) -> list[Completion]:
            raise ZeroDivisionError

        def save(self, folder: Path) -> None: ...

    closed: list[bool] = []
    outcome = Outcome(Broken(), close=lambda: closed.append(True))
    lora = replace(context.plan.quotes[0], answer_seconds=1.0)
    later = replace(lora, rung="full")
    context.planned = replace(context.plan, quotes=(lora, later), begun=("lora",))
    with pytest.raises(ZeroDivisionError):
        hopeless.on_dev(context, LORA, outcome)
    assert closed == [True]
    context.planned = replace(context.plan, begun=("lora", "full"))
    assert hopeless.on_dev(context, LORA, outcome) is None
    context.planned = replace(
        context.plan, begun=("lora",), quotes=(replace(lora, answer_seconds=40.0), later)
    )
    assert hopeless.on_dev(context, LORA, outcome) is None  # 15 s are for 7 rows


def climbed(letters_csv: Path, folder: Path, **asked: Any) -> Climbed:
    return climb(letters_csv, output=folder, **asked)


def named(found: Climbed, name: str) -> Result:
    return next(result for result in found.results if result.rung == name)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every training is long enough, and a look may take as long as it does."""
    monkeypatch.setattr(hopeless, "FEWEST_SECONDS", 0.0)
    monkeypatch.setattr(hopeless, "SHARE", 3.0)


@pytest.fixture
def flat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short trainings come to little, whatever their rows."""
    monkeypatch.setattr(hopeless, "_short", lambda *given: Point(given[3], 0.3, 0.05))


@pytest.mark.usefixtures("eager", "flat")
def test_a_climb_leaves_out_what_is_hopeless_until_it_is_wanted(
    letters_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = climbed(letters_csv, tmp_path / "run", **LEARNS)
    lora = named(first, "lora")
    assert (lora.status, named(first, "words").status) == ("skipped", "ok")
    assert lora.reason.startswith("left out as hopeless: ")
    assert lora.forecast is not None
    assert lora.forecast.best == "words"
    assert first.verdict.recommended == "words"
    with monkeypatch.context() as patched:
        forbid(patched)
        assert climbed(letters_csv, tmp_path / "run", **LEARNS).results == first.results
    anyway = climbed(letters_csv, tmp_path / "run", **LEARNS | {"stop_when_hopeless": False})
    assert named(anyway, "lora").status in ("ok", "unfinished")  # on a busy machine a second may not do
    assert named(anyway, "lora").forecast is None
    assert named(anyway, "words") == named(first, "words")


@pytest.mark.usefixtures("eager", "flat")
def test_a_climb_that_was_stopped_decides_the_same(
    letters_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = climbing.run_rung

    def stop(context: Context, rung: Any) -> Result:
        if rung.name == "lora":
            raise KeyboardInterrupt
        return real(context, rung)

    with monkeypatch.context() as patched:
        patched.setattr(climbing, "run_rung", stop)
        with pytest.raises(KeyboardInterrupt):
            climbed(letters_csv, tmp_path / "run", **LEARNS)
    kept = from_json(Plan, json.loads((tmp_path / "run" / "plan.json").read_text()))
    assert kept.quote("lora").screened
    with monkeypatch.context() as patched:
        forbid(patched)
        lora = named(climbed(letters_csv, tmp_path / "run", **LEARNS), "lora")
    assert (lora.status, lora.forecast) == ("skipped", kept.forecasts["lora"])


@pytest.mark.usefixtures("eager")
def test_a_later_tuned_rung_is_compared_with_an_earlier_one(letters_csv: Path, tmp_path: Path) -> None:
    asked = LEARNS | {"rungs": "lora,bitfit", "stop_when_hopeless": True}
    found = climbed(letters_csv, tmp_path / "run", **asked)
    first, last = found.results
    assert first.dev is not None
    assert first.dev.n > 0
    assert last.dev is None  # nothing comes after it
    assert first.forecast is None  # nothing came before it
