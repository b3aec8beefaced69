"""Every method has a rung; two of them are usual."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import letters
from rung import storage
from rung.config import make_settings
from rung.errors import UsageError
from rung.ladder.climb import climb
from rung.ladder.earlier import finished_rungs
from rung.ladder.predictor import load
from rung.ladder.rungs import RUNGS, asked_for, place, rung_of
from rung.ladder.rungs.methods import USUAL
from rung.methods import METHODS
from rung.run_folder import RunFolder


def test_every_method_has_a_rung_of_its_name() -> None:
    for name in METHODS:
        rung = RUNGS[name]
        assert (rung.kind, rung.method, rung.title) == ("tune", name, METHODS.title(name))
        assert rung.on_request is (name not in USUAL)


def test_all_means_those_on_request_too() -> None:
    every = [name for name, rung in RUNGS.items() if not rung.needs_documents]
    assert [rung.name for rung in asked_for(make_settings({"rungs": "all"}))] == every


def test_a_method_on_request_can_be_the_only_one() -> None:
    for name in METHODS:
        tuned = [rung.name for rung in asked_for(make_settings({"method": name})) if rung.kind == "tune"]
        assert tuned == [name]


def test_a_method_of_peft_has_a_rung_when_it_is_asked_for() -> None:
    rung, lora = asked_for(make_settings({"rungs": "peft:vera,peft-vera,lora"}))
    assert lora.name == "lora"
    assert (rung.name, rung.method, rung.kind) == ("peft-vera", "peft:vera", "tune")
    assert rung is RUNGS["peft-vera"] is RUNGS["peft:vera"] is rung_of("peft:vera")
    assert "peft-vera" in RUNGS
    assert "peft-vera" not in list(RUNGS)
    assert place(rung) == min(place(RUNGS[name]) for name in METHODS)
    asked = asked_for(make_settings({"method": "peft:vera"}))
    assert [one.name for one in asked if one.kind == "tune"] == ["peft-vera"]


def test_its_options_are_checked_before_anything_is_read() -> None:
    with pytest.raises(UsageError, match=r"peft:vera has no option 'rr'\. Did you mean 'r'"):
        asked_for(make_settings({"rungs": "peft:vera", "options": "peft:vera.rr=3"}))
    with pytest.raises(UsageError, match="unknown method or setting 'peft:verra'"):
        asked_for(make_settings({"rungs": "lora", "peft:verra": {"r": 3}}))


@pytest.mark.parametrize("name", ["peft:verra", "peft-verra"])
def test_one_that_peft_does_not_have_is_answered_with_the_nearest(name: str) -> None:
    with pytest.raises(UsageError, match="Did you mean 'vera'"):
        asked_for(make_settings({"rungs": name}))
    assert name not in RUNGS


def test_one_that_rung_does_not_run_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="prefix_tuning cannot be used through the bridge"):
        asked_for(make_settings({"method": "peft:prefix_tuning"}))


def test_a_climb_with_methods_of_peft_is_found_again(letters_csv: Path, tmp_path: Path) -> None:
    settings = letters.FAST | {
        "rungs": "peft:vera,peft:ln_tuning",
        "peft:vera": {"r": 32, "target_modules": "all-linear", "d_initial": 1.0},
        "rank": None,
    }
    climbed = climb(letters_csv, output=tmp_path / "run", **settings)
    vera, norms = climbed.results
    assert [(one.rung, one.method, one.status) for one in climbed.results] == [
        ("peft-vera", "peft:vera", "ok"),
        ("peft-ln_tuning", "peft:ln_tuning", "ok"),
    ]
    assert vera.applied["r"] == 32
    assert vera.metrics[0].value == 1.0
    assert any("PEFT changes more than linear layers" in note for note in norms.notes)
    answers = storage.read_jsonl(climbed.folder / "predictions" / "peft-vera.jsonl")
    again = climb(letters_csv, output=tmp_path / "run", **settings)
    assert [one.finished for one in again.results] == [one.finished for one in climbed.results]
    assert [rung.name for rung in finished_rungs(RunFolder(climbed.folder))] == [
        "peft-ln_tuning",
        "peft-vera",
    ]
    kept = {row["text"]: row["label"] for row in csv.DictReader(letters_csv.read_text().splitlines())}
    predictor = load(climbed.folder, "peft-vera")
    given = predictor.predict([{"text": text} for text in list(kept)[:5]])
    assert [one.text for one in given] == list(kept.values())[:5]
    assert len(answers) == 40
