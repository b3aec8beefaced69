"""Screening: a short training of each method, and the best on dev go on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from contexts import SLOW, context_of
from rung.ladder import options, screening
from rung.ladder.climb import climb
from rung.ladder.context import Context
from rung.ladder.prepare import Prepared
from rung.ladder.rungs import RUNGS
from rung.ladder.rungs.rung import Rung
from rung.ladder.screening import Screened, Screening, screen
from rung.methods import METHODS
from rung.train import trainer
from tiny_model import copy_of, same_bytes

THREE = [RUNGS[name] for name in ("ia3", "bitfit", "full")]
SIX = [RUNGS[name] for name in ("ia3", "lora", "bitfit", "full", "dora", "prompt")]


@pytest.fixture
def context(prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setattr(screening, "MOST", 2)
    found = context_of(prepared, tmp_path)
    found.speeds = replace(SLOW, train=dict.fromkeys(METHODS, SLOW.train["lora"]))
    return found


def test_the_best_on_dev_goes_on_and_the_base_is_as_before(context: Context) -> None:
    before = copy_of(context.prepared.base.model)
    found = screen(context, [*THREE, RUNGS["zero-shot"]], 60.0)
    gone = found.gone
    (line,) = (json.loads(one) for one in context.folder.file("events.jsonl").read_text().splitlines())
    losses = line["losses"]
    assert set(losses) == {"ia3", "bitfit", "full"}
    first, second, last = sorted(losses, key=losses.__getitem__)
    assert set(gone) == {last}
    assert found.worst_first == (second, first)
    assert f"loss on dev {losses[last]:.3f} after " in gone[last]
    assert f"({first} {losses[first]:.3f}, {second} {losses[second]:.3f})" in gone[last]
    assert same_bytes(copy_of(context.prepared.base.model), before)


def test_lora_goes_on_and_of_many_others_some_are_trained_twice(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    real = screening._short

    def short(context: Context, rung: Rung, seconds: float) -> Screened | None:
        tried.append(rung.name)
        return real(context, rung, seconds)

    monkeypatch.setattr(screening, "_short", short)
    found = screen(context, SIX, 60.0)
    first, second = (
        json.loads(one)["losses"] for one in context.folder.file("events.jsonl").read_text().splitlines()
    )
    assert set(first) == {"ia3", "bitfit", "full", "dora", "prompt"}
    assert set(second) == set(sorted(first, key=first.__getitem__)[:2])
    assert tried == [*(rung.name for rung in SIX if rung.name != "lora"), *tried[5:]]
    assert set(tried[5:]) == set(second)
    best = min(second, key=second.__getitem__)
    assert found.worst_first == (best, "lora")
    assert set(found.gone) == set(first) - {best}
    assert (
        f"others have the time (lora, {best} {second[best]:.3f})" in found.gone[(set(second) - {best}).pop()]
    )


def test_few_rungs_or_no_limit_are_not_screened(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.Trainer, "run", lambda self: 1 / 0)
    assert screen(context, THREE, None) == Screening()
    assert screen(context, THREE[:2], 60.0) == Screening()
    monkeypatch.setattr(screening, "MOST", 3)
    assert screen(context, THREE, 60.0) == Screening()


def test_those_that_learn_labels_go_on(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.Trainer, "run", lambda self: 1 / 0)
    assert screen(context, [RUNGS["head"], RUNGS["head-lora"], RUNGS["ia3"]], 60.0) == Screening()
    assert not context.folder.file("events.jsonl").exists()


def test_a_rung_that_fails_is_not_left_out(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    real = options.attach

    def attach(prepared: Prepared, method: str) -> object:
        if method == "ia3":
            raise ZeroDivisionError("no")
        return real(prepared, method)

    monkeypatch.setattr(options, "attach", attach)
    monkeypatch.setattr(screening, "MOST", 1)
    gone = screen(context, THREE, 60.0).gone
    assert "ia3" not in gone
    assert len(gone) == 1
    assert "screening failed" in context.folder.file("events.jsonl").read_text()


def test_more_time_means_longer_trainings(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens: list[int] = []
    real = trainer.Trainer.run

    def run(self: trainer.Trainer) -> trainer.Outcome:
        outcome = real(self)
        tokens.append(outcome.tokens)
        return outcome

    monkeypatch.setattr(trainer.Trainer, "run", run)
    screen(context, THREE, 30.0)
    screen(context, THREE, 120.0)
    assert min(tokens[3:]) > 2 * max(tokens[:3])


def test_a_climb_with_a_budget_says_who_was_screened_out(
    letters_csv: Path, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screening, "MOST", 1)
    asked = {"base": "tiny", "threads": 1, "precision": "fp32", "rungs": "ia3,bitfit,full"}
    climbed = climb(letters_csv, output=tmp_path / "run", budget="40s", **asked)
    status = {result.rung: result.status for result in climbed.results}
    assert sorted(status.values()) == ["ok", "skipped", "skipped"]
    for result in climbed.results:
        if result.status == "skipped":
            assert "screened out: loss on dev" in result.reason
