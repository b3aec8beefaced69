"""A race between settings on the tiny base: what it chooses is used, kept, and the same after a stop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contexts import SLOW, context_of
from letters import digest
from rung.ladder import race, race_rules, tuning
from rung.ladder.climb import climb
from rung.ladder.context import Context
from rung.ladder.forecast import Size
from rung.ladder.plan import Plan
from rung.ladder.prepare import Prepared
from rung.ladder.race import Won
from rung.ladder.race_rounds import Race
from rung.ladder.race_rules import Arm
from rung.ladder.rungs.tune import TuneRung
from rung.ladder.watch import Silent
from rung.methods import METHODS
from rung.records import Quote
from rung.train import optim
from tiny_model import copy_of, same_bytes

RUNG = TuneRung("mine", "my LoRA", method="lora")
RATE = METHODS["lora"].half_rate or 0.0
FREE: dict[str, Any] = {"learning_rate": None, "rank": None, "budget": 600.0, "kl_penalty": 0.0}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Races on few rows: 4 steps an arm in the first two rounds, 8 in the last one."""
    monkeypatch.setattr(race_rules, "FEWEST_ROWS", 12)
    monkeypatch.setattr(race_rules, "MOST_ROWS", 16)
    monkeypatch.setattr(race_rules, "STEPS", 4)


class Watching(Silent):
    """Keeps what is said and begun, and stops at the given step of all."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.said: list[str] = []
        self.begun: list[str] = []
        self.steps, self.stop_at = 0, stop_at

    def say(self, text: str) -> None:
        self.said.append(text)

    def begin(self, rung: str, phase: str) -> None:
        self.begun.append(phase)

    def step(self, *_: object, **__: object) -> None:
        self.steps += 1
        if self.steps == self.stop_at:
            raise KeyboardInterrupt


def ready(prepared: Prepared, folder: Path, **settings: Any) -> Context:
    """A climb in which a long training of LoRA has just begun; its quote has a race."""
    prepared = replace(prepared, settings=prepared.settings.model_copy(update=FREE | settings))
    found = context_of(prepared, folder, forgetting=False)
    rows = len(prepared.split.train)
    quote = Quote("mine", True, seconds=900.0, train_rows=rows, epochs=0.5, train_seconds=900.0)
    quote = replace(quote, race_seconds=100.0)
    found.settle(Plan((quote,), 30, 20, rows, 0.5, 400, 1024, 600.0, 0.0, "fp32"))
    return found


def raced(context: Context) -> Won | None:
    return race.run(context, "mine", "lora", context.plan.of("mine", context), None)


def state(context: Context) -> Any:
    return json.loads(context.folder.file("checkpoints", "mine", "race.json").read_text())


@pytest.fixture
def context(prepared: Prepared, tmp_path: Path) -> Context:
    return ready(prepared, tmp_path)


def test_arms_are_rates_around_the_default_and_all_layers_at_half_the_rate(context: Context) -> None:
    assert race.arms(context, "lora", 500) == (Arm(RATE), Arm(RATE / 2, 2), Arm(RATE / 2), Arm(2 * RATE))
    assert race.arms(context, "lora", 100)[-1] == Arm(RATE, 2)
    full = METHODS["full"].learning_rate
    assert race.arms(context, "full", 100) == (Arm(full), Arm(full / 2), Arm(2 * full))


def test_layers_are_raced_where_the_base_is_fused_and_nothing_was_asked(
    prepared: Prepared, tmp_path: Path
) -> None:
    for asked in ({"top_layers": 1}, {"targets": ("q_proj",)}, {"options": {"lora": {"top_layers": 2}}}):
        found = ready(prepared, tmp_path, **asked)
        assert {arm.top_layers for arm in race.arms(found, "lora", 500)} == {None}
    found = ready(prepared, tmp_path)
    base = replace(prepared.base, route=replace(prepared.base.route, path="plain"))
    speaker = replace(prepared.speaker, base=base)
    found.__dict__["prepared"] = replace(found.prepared, speaker=speaker)
    assert {arm.top_layers for arm in race.arms(found, "lora", 500)} == {None}


@pytest.mark.parametrize(
    ("why", "method"),
    [({"learning_rate": 0.01}, "lora"), ({"race": False}, "lora"), ({"budget": None}, "lora"), ({}, "head")],
)
def test_where_nothing_is_raced(prepared: Prepared, tmp_path: Path, why: dict[str, Any], method: str) -> None:
    rate = SLOW.train["lora"]
    assert race.planned(ready(prepared, tmp_path), "lora", rate, 900.0) is not None
    assert race.planned(ready(prepared, tmp_path, **why), method, rate, 900.0) is None


def test_a_short_training_has_no_race(context: Context) -> None:
    rate = SLOW.train["lora"]
    assert race.planned(context, "lora", rate, 10.0) is None
    some = [race.planned(context, "lora", rate, seconds) for seconds in (50.0, 100.0, 200.0, 400.0, 900.0)]
    counts = [len(one.arms) if one else 0 for one in some]
    assert counts == sorted(counts)
    assert counts[-1] == 5
    context.size = Size(20, 20, 10, 2.0)
    assert race.planned(context, "lora", rate, 900.0) is None


def test_the_arm_with_the_lowest_loss_wins(context: Context) -> None:
    context.watcher = watching = Watching()
    before = copy_of(context.prepared.base.model)
    won = raced(context)
    assert won is not None
    assert same_bytes(copy_of(context.prepared.base.model), before)
    kept = state(context)
    assert [(one["arm"], one["turn"]) for one in kept["ran"][:5]] == [(arm, 0) for arm in range(5)]
    assert [one["turn"] for one in kept["ran"][5:]] == [1, 1, 1, 2, 2]  # the better half
    assert {len(one["losses"]) for one in kept["ran"]} == {len(kept["base"])} == {30}
    finals = {one["arm"]: sum(one["losses"]) for one in kept["ran"] if one["turn"] == 2}
    firsts = {one["arm"]: sum(one["losses"]) for one in kept["ran"] if one["turn"] == 0}
    assert all(finals[arm] < firsts[arm] for arm in finals)  # they went on where they had stopped
    assert won.arm in [Arm(**kept["arms"][arm]) for arm in finals]
    assert won.choice.name == "setting"
    assert won.choice.chosen == won.arm.named(1)
    assert len(won.choice.tried) == 5
    assert won.notes == ()
    first, second = watching.said
    assert first.startswith(
        "mine: a race of 5 settings, first on 16 train rows each, compared on 30 dev rows: "
    )
    assert second.startswith(f"mine: {won.choice.chosen} won the race: ")
    assert [one.name for one in context.folder.file("checkpoints", "mine").iterdir()] == ["race.json"]


def test_a_race_that_was_stopped_many_times_ends_with_the_same_bytes(
    prepared: Prepared, tmp_path: Path
) -> None:
    whole, stopped = ready(prepared, tmp_path / "whole"), ready(prepared, tmp_path / "stopped")
    wanted = RUNG.run(whole, None)
    wanted.close()
    done: list[int] = []
    # in the first arm, the fourth, the second round, the third one, and in training
    for stop_at in (3, 15, 14, 12, 19):
        stopped.watcher = watching = Watching(stop_at)
        with pytest.raises(KeyboardInterrupt):
            RUNG.run(stopped, None)
        done.append(len(state(stopped)["ran"]))
        stopped.speeds = replace(SLOW, prefill=1.0)  # another clock: what was settled stays
    assert done == [0, 3, 6, 8, 10]
    assert watching.begun[-1] == "training"
    stopped.watcher = again = Watching()
    found = RUNG.run(stopped, None)
    found.close()
    assert not any(phase.startswith("racing") for phase in again.begun)
    assert found.choices == wanted.choices
    assert found.curve[-1].dev_loss == wanted.curve[-1].dev_loss
    files = [one.folder.file("adapters", "mine", "adapter_model.safetensors") for one in (whole, stopped)]
    assert digest(files[0]) == digest(files[1])


def test_what_won_is_what_the_same_rate_gives_without_a_race(prepared: Prepared, tmp_path: Path) -> None:
    context = ready(prepared, tmp_path / "raced")
    found = RUNG.run(context, None)
    found.close()
    won = state(context)
    rate, layers = found.applied["learning_rate"], found.applied["top_layers"]
    arm = Arm(rate, layers if layers == 2 else None)
    assert {"rate": rate, "top_layers": arm.top_layers} in won["arms"]
    assert found.choices[0].chosen == arm.named(1)
    fixed = ready(prepared, tmp_path / "fixed", learning_rate=rate, top_layers=layers)
    fixed.planned = replace(fixed.plan, quotes=(replace(fixed.plan.quotes[0], race_seconds=0.0),))
    same = RUNG.run(fixed, None)
    same.close()
    assert "setting" not in [choice.name for choice in same.choices]
    files = [one.folder.file("adapters", "mine", "adapter_model.safetensors") for one in (context, fixed)]
    assert digest(files[0]) == digest(files[1])


@pytest.fixture
def diverging(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Rates from this list on diverge at the third step."""
    limits = [1.0]
    real = tuning.Trainer._learning_rate

    def check(loss: float, norm: float, parameters: Any, step: int) -> None: ...

    def rate(self: tuning.Trainer, step: int) -> float:
        if step == 2 and self.settings.learning_rate >= limits[0]:
            raise optim.Diverged("the loss stopped being finite")
        return real(self, step)

    monkeypatch.setattr(tuning.Trainer, "_learning_rate", rate)
    return limits


def test_an_arm_that_diverges_is_out(context: Context, diverging: list[float]) -> None:
    diverging[0] = RATE
    won = raced(context)
    assert won is not None
    assert won.arm.rate == RATE / 2
    firsts = state(context)["ran"][:5]
    assert [one["losses"] == [] for one in firsts] == [True, False, False, True, True]
    assert next(iter(won.choice.tried.values())) is None
    assert won.notes == ()


def test_where_all_diverge_the_rate_is_lowered(context: Context, diverging: list[float]) -> None:
    diverging[0] = RATE / 20
    won = raced(context)
    assert won is not None
    assert won.arm == Arm(RATE / 32)  # the lowest one, by 4 and by 4
    assert [one["rate"] for one in state(context)["lower"]] == [RATE / 8, RATE / 32]
    assert won.notes[0].startswith(f"the learning rate was lowered from {RATE / 2:g} to {RATE / 32:g}: ")
    diverging[0] = 0.0
    assert raced(context) == won  # from race.json


def test_at_most_three_lower_rates_are_tried(context: Context, diverging: list[float]) -> None:
    diverging[0] = 0.0
    won = raced(context)
    assert won is not None
    assert won.arm == Arm(RATE / 128)
    assert set(won.choice.tried.values()) == {None}


def test_a_rate_that_makes_the_base_worse_is_lowered(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = race._Ground._trained

    def trained(self: Any, found: Race, place: int, turn: int) -> list[float]:
        losses = real(self, found, place, turn)
        return [10 + loss for loss in found.base] if found.every[place].rate > RATE / 20 else losses

    monkeypatch.setattr(race._Ground, "_trained", trained)
    won = raced(context)
    assert won is not None
    assert won.arm.rate in (RATE / 32, RATE / 64)
    assert "made the loss on dev higher than that of the untuned base" in won.notes[0]


def test_a_race_for_other_rows_is_run_again(prepared: Prepared, context: Context, tmp_path: Path) -> None:
    raced(context)
    other = ready(prepared, tmp_path)
    plan = other.plan
    other.planned = replace(plan, quotes=(replace(plan.quotes[0], epochs=1.0),))
    before = state(context)
    raced(other)
    assert state(context)["mark"] != before["mark"]


def test_where_the_machine_became_too_slow_there_is_no_race_also_later(context: Context) -> None:
    context.speeds = replace(SLOW, train={"lora": replace(SLOW.train["lora"], tokens_per_second=1.0)})
    assert raced(context) is None
    context.speeds = SLOW
    assert raced(context) is None
    assert state(context)["arms"] == []


def test_a_climb_races_uses_what_won_and_says_so(letters_csv: Path, own_cache: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {
        "base": "tiny",
        "threads": 1,
        "precision": "fp32",
        "rungs": "lora",
        "budget": "300s",
        "epochs": 5,
        "max_test": 20,
        "kl_penalty": 0,
    }
    watching = Watching()
    climbed = climb(letters_csv, output=tmp_path / "run", watcher=watching, **asked)
    (result,) = climbed.results
    assert result.status == "ok"
    (choice,) = [choice for choice in result.choices if choice.name == "setting"]
    assert choice.chosen.startswith(f"learning rate {result.applied['learning_rate']:g}")
    assert choice.chosen in choice.tried
    assert result.quote is not None
    assert 0 < result.quote.race_seconds <= 0.15 * (result.quote.train_seconds or 0) + 0.1
    assert sum("a race of " in line or "won the race" in line for line in watching.said) == 2
    assert not (tmp_path / "run" / "checkpoints" / "lora").exists()
