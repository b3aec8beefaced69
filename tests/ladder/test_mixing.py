"""The mixture of sources, chosen on dev: what is compared, how it is measured, and that the choice stays."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

import letters
from contexts import SLOW, Saying, context_of
from rung.config import make_settings
from rung.cost import Stopwatch
from rung.data.mix import mix, mixture, shares, source_of
from rung.ladder import mixing, race_rules
from rung.ladder.climb import Climbed, climb
from rung.ladder.context import Context
from rung.ladder.divide import divide
from rung.ladder.mixing import Mixed, candidates, choose, known, resolved, with_rows
from rung.ladder.prepare import Prepared, prepare
from rung.ladder.race_rounds import Race
from rung.ladder.rungs import RUNGS
from rung.ladder.understood import understand_data

ASKED: dict[str, Any] = letters.FAST | {"epochs": 1, "mix": "dev"}
TUNED = [RUNGS["lora"]]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race_rules, "FEWEST_ROWS", 12)
    monkeypatch.setattr(race_rules, "STEPS", 4)


def file_of(folder: Path, source: Callable[[int], str] = lambda n: "small" if n % 8 == 0 else "big") -> Path:
    rows = [
        {"text": word, "label": label, "source": source(n)}
        for n, (word, label) in enumerate(letters.rows(260))
    ]
    return letters.write_jsonl(folder / "rows.jsonl", rows)


def ready(folder: Path, data: Path, **changes: Any) -> Context:
    settings = make_settings(ASKED | changes)
    prepared = prepare(understand_data(data, settings), settings)
    return context_of(prepared, folder / "run", watcher=Saying(), forgetting=False)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return ready(tmp_path, file_of(tmp_path))


def said(context: Context) -> str:
    assert isinstance(context.watcher, Saying)
    return "\n".join(context.watcher.said)


def chosen(context: Context) -> Mixed:
    found = known(context.folder)
    assert found is not None
    return found


def test_candidates_by_hand() -> None:
    found = candidates({"a": 900, "b": 100}, {"a": 1.0, "b": 3.0})
    assert list(found) == ["proportional", "temperature=2", "temperature=1000", "by loss"]
    parts = {name: shares({"a": 900, "b": 100}, mixture(text))["b"] for name, text in found.items()}
    expected = {"proportional": 0.1, "temperature=2": 0.25, "temperature=1000": 0.5, "by loss": 0.75}
    assert parts == pytest.approx(expected, abs=0.001)


def test_a_source_without_dev_rows_keeps_its_share() -> None:
    text = candidates({"a": 60, "b": 20, "c": 20}, {"a": 1.0, "b": 3.0})["by loss"]
    parts = shares({"a": 60, "b": 20, "c": 20}, mixture(text))
    assert parts == pytest.approx({"a": 0.2, "b": 0.6, "c": 0.2}, abs=0.001)


def test_mixtures_that_are_the_same_are_compared_once() -> None:
    assert list(candidates({"a": 50, "b": 50}, {"a": 1.0, "b": 1.0})) == ["proportional"]
    assert list(candidates({"a": 50, "b": 50}, {"a": 1.0, "b": 2.0})) == ["proportional", "by loss"]
    assert "by loss" not in candidates({"a,b": 90, "b": 10}, {"a,b": 1.0, "b": 2.0})


def test_every_source_counts_the_same_however_many_rows_or_tokens_it_has(context: Context) -> None:
    ground = mixing._Ground(context, "lora")
    assert set(ground.tokens) == {"big", "small"}
    assert {source_of(one) for one in ground.dev} == {"big", "small"}
    losses = [2.0 if source_of(one) == "big" else 5.0 for one in ground.dev]
    rows = Counter(map(source_of, ground.dev))
    by_hand = fmean([rows["big"] * 2.0 / ground.tokens["big"], rows["small"] * 5.0 / ground.tokens["small"]])
    assert fmean(ground.counted(losses)) == pytest.approx(by_hand)


def test_rows_that_come_again_have_tokens(context: Context) -> None:
    prepared = context.prepared
    train = mix(prepared.split.train, mixture("temperature=1000"), 0)
    found = with_rows(prepared, train)
    again = [one for one in train if "-" in one.id]
    assert again
    assert len(found.split.train) == len(prepared.split.train)
    for one in again:
        assert found.rendered[one.id].ids == prepared.rendered[one.id.partition("-")[0]].ids
        assert found.rendered[one.id].example_id == one.id
    assert not any("-" in name for name in prepared.rendered)


def test_what_is_clearly_better_wins_and_else_the_rows_as_they_are(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = {"proportional": 3.0, "temperature=2": 1.0, "temperature=1000": 2.0, "by loss": 4.0}
    learned: dict[str, Counter[str]] = {}

    def trained(self: Any, race: Race, place: int, turn: int) -> list[float]:
        name = self.named(race, place)
        learned[name] = Counter(map(source_of, self.prepared_of(race, place).split.train))
        return [losses[name] + 0.001 * n for n in range(len(self.dev))]

    monkeypatch.setattr(mixing._Ground, "_trained", trained)
    assert choose(context, TUNED, Stopwatch())
    assert chosen(context).mix == chosen(context).chosen == "temperature=2"
    assert "temperature=2 is taken" in said(context)
    assert learned["temperature=2"]["small"] > learned["proportional"]["small"]
    context.folder.file(mixing.FILE).unlink()
    losses |= dict.fromkeys(losses, 3.0)
    assert choose(context, TUNED, Stopwatch())
    assert chosen(context).mix == "proportional"
    assert list(chosen(context).tried) == list(losses)


def test_a_choice_is_made_once_and_used_by_name(context: Context) -> None:
    assert not choose(context, [RUNGS["zero-shot"]], Stopwatch())  # which learns from nothing
    assert resolved(context.settings, context.folder).mix == "dev"
    assert choose(context, TUNED, Stopwatch())
    found = chosen(context)
    assert found.why == ""
    assert len([value for value in found.tried.values() if value is not None]) >= 3
    assert found.choice.chosen in found.tried
    assert not context.folder.file("mixture").exists()  # what only the comparison needs
    assert resolved(context.settings, context.folder).mix == found.mix
    assert not choose(context, TUNED, Stopwatch())
    assert mixing.choices_of(context) == (found.choice,)
    assert resolved(make_settings({"mix": "proportional"}), context.folder).mix == "proportional"


class Stops(Saying):
    """Presses Ctrl-C when the given short training begins."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    def begin(self, rung: str, phase: str) -> None:
        self.left -= phase.startswith("racing")
        if self.left < 0:
            raise KeyboardInterrupt


def test_a_comparison_that_was_stopped_ends_as_one_that_was_not(tmp_path: Path) -> None:
    data = file_of(tmp_path)
    whole, stopped = ready(tmp_path / "whole", data), ready(tmp_path / "stopped", data)
    assert choose(whole, TUNED, Stopwatch())
    stopped.watcher = Stops(3)
    with pytest.raises(KeyboardInterrupt):
        choose(stopped, TUNED, Stopwatch())
    assert len(json.loads(stopped.folder.file("mixture", "race.json").read_text())["ran"]) == 3
    stopped.watcher = Stops(100)
    assert choose(stopped, TUNED, Stopwatch())
    assert stopped.watcher.left == 97  # six short trainings in all
    assert chosen(stopped) == chosen(whole)


@pytest.mark.parametrize(
    ("source", "settings", "why"),
    [
        (lambda _: "one", {}, "they are all of one source"),
        (None, {"dev_fraction": 0.02}, "dev rows are too few"),
        (None, {"budget": "20s"}, "the budget leaves no time"),
    ],
)
def test_where_nothing_can_be_compared_the_rows_stay_and_that_is_said(
    tmp_path: Path, source: Any, settings: dict[str, Any], why: str
) -> None:
    data = file_of(tmp_path, source) if source else file_of(tmp_path)
    context = ready(tmp_path, data, **settings)
    context.speeds = SLOW
    assert choose(context, TUNED, Stopwatch())
    assert why in chosen(context).why
    assert why in said(context)
    assert chosen(context).mix == "proportional"
    assert chosen(context).tried == {}


def test_a_fault_leaves_the_rows_as_they_are(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> list[float]:
        raise RuntimeError("no luck")

    monkeypatch.setattr(mixing._Ground, "_trained", fails)
    assert choose(context, TUNED, Stopwatch())
    assert "no luck" in chosen(context).why
    assert "no luck" in said(context)


def test_under_a_budget_a_tenth_of_the_time_that_is_left(context: Context) -> None:
    context.settings = context.settings.model_copy(update={"budget": 900.0})
    ground, arms = mixing._Ground(context, "lora"), [race_rules.Arm(0.01)] * 4
    whole, half = ground._planned(arms, Stopwatch()), ground._planned(arms, Stopwatch(450.0))
    assert whole is not None
    assert half is not None
    assert 45 < whole.seconds <= 90
    assert half.seconds <= 45
    assert half.rows < whole.rows
    assert ground._planned(arms, Stopwatch(890.0)) is None


def test_the_share_of_a_long_training_without_a_budget(context: Context) -> None:
    ground = mixing._Ground(context, "lora")
    arms = [race_rules.Arm(0.01)] * 4
    context.size = replace(context.size, train=10_000, epochs=1.0)
    plan = ground._planned(arms, Stopwatch())
    assert plan is not None
    assert plan.rows == 167  # four arms, and the last two again: 6 times 167 is a tenth of 10,000
    context.size = replace(context.size, train=30, epochs=1.0)
    plan = ground._planned(arms, Stopwatch())
    assert plan is not None
    assert plan.rows == 12


def climbed_on(folder: Path, **settings: Any) -> Climbed:
    return climb(
        folder / "rows.jsonl", output=folder / "run", **ASKED | {"rungs": "constant,lora"} | settings
    )


def test_a_climb_learns_the_mixture_that_dev_has_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_of(tmp_path)
    monkeypatch.setattr(race_rules, "clearly_worse", lambda one, best: list(one) != list(best))  # the best
    climbed = climbed_on(tmp_path)
    floor, tuned = climbed.results
    assert tuned.status == "ok"
    (choice,) = [one for one in tuned.choices if one.name == "mixture"]
    assert choice.chosen in choice.tried
    kept = json.loads((tmp_path / "run" / "mixture.json").read_text())
    assert kept["chosen"] == choice.chosen
    settings = make_settings(ASKED | {"mix": kept["mix"]})
    asked = divide(understand_data(tmp_path / "rows.jsonl", settings), settings)
    rows = [json.loads(line) for line in (tmp_path / "run" / "data.jsonl").read_text().splitlines()]
    learned = [row["example"]["id"] for row in rows if row["part"] == "train"]
    assert learned == [one.id for one in asked.split.train]
    files = {path: path.read_bytes() for path in (tmp_path / "run" / "results").iterdir()}
    again = climbed_on(tmp_path)  # which chooses nothing and runs nothing
    assert {path: path.read_bytes() for path in files} == files
    assert again.results == (floor, tuned)


def test_prepared_rows_stay_as_they_were(prepared: Prepared) -> None:
    assert with_rows(prepared, prepared.split.train) == prepared
