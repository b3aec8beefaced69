"""The ladder as a list of rungs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rung.config import make_settings
from rung.errors import UsageError
from rung.ladder.rungs import RUNGS, Rung, asked_for, place, register, rung_of
from rung.ladder.rungs.prompt import PromptRung
from rung.methods import METHODS
from rung.records import Task
from rung.registry import Registry


def names(rungs: list[Rung]) -> list[str]:
    return [rung.name for rung in rungs]


def test_the_order_is_the_place_in_the_list() -> None:
    others = [
        "constant",
        "length",
        "nearest",
        "words",
        "probe",
        "zero-shot",
        "few-shot",
        "retrieval",
        "document",
    ]
    assert list(RUNGS) == [*others, *METHODS, "lora-dpo", "lora-retrieval", "lora-open-book"]
    assert [place(rung) for _, rung in RUNGS.items()] == list(range(len(RUNGS)))


def test_only_a_rung_that_tunes_names_a_method_of_training() -> None:
    kinds = {name: (rung.kind, rung.method) for name, rung in RUNGS.items()}
    assert kinds == {
        "constant": ("floor", ""),
        "length": ("floor", ""),
        "nearest": ("classical", ""),
        "words": ("classical", ""),
        "probe": ("probe", ""),
        "zero-shot": ("prompt", "prompt"),
        "few-shot": ("prompt", "prompt"),
        "retrieval": ("prompt", "prompt"),
        "document": ("prompt", "prompt"),
        **{name: ("tune", name) for name in (*METHODS, "lora-dpo")},
        "lora-retrieval": ("tune", "lora"),
        "lora-open-book": ("tune", "lora"),
    }


def test_the_rungs_of_a_climb_are_each_run_once_and_cheapest_first() -> None:
    assert names(asked_for(make_settings({"rungs": "full,zero-shot,full"}))) == ["zero-shot", "full"]
    assert names(asked_for(make_settings({"rungs": "lora,words"}))) == ["words", "lora"]


def test_a_climb_that_names_no_rungs_leaves_out_those_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RUNGS["words"], "on_request", True)
    assert names(asked_for(make_settings({}))) == [
        name for name, rung in RUNGS.items() if not (rung.on_request or rung.needs_documents)
    ]


def test_an_unknown_rung_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown rung 'lorra'\. Did you mean 'lora'.*Known: constant"):
        asked_for(make_settings({"rungs": "zero-shot,lorra"}))


def test_a_method_leaves_only_the_rung_that_tunes_with_it() -> None:
    assert names(asked_for(make_settings({"method": "full"}))) == [
        name
        for name, one in RUNGS.items()
        if not (one.on_request or one.needs_documents) and name not in ("lora", "lora-dpo")
    ]
    with pytest.raises(UsageError, match="no rung is left"):
        asked_for(make_settings({"method": "full", "rungs": "lora"}))
    with pytest.raises(UsageError, match="Did you mean 'lora'"):
        asked_for(make_settings({"method": "lorra"}))
    assert rung_of("full").name == "full"
    assert rung_of("lora").name == "lora"
    with_documents = names(asked_for(make_settings({"method": "lora", "documents": "x.md"})))
    assert with_documents[-3:] == ["lora", "lora-retrieval", "lora-open-book"]


def test_a_rung_that_does_not_apply_is_left_out_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PromptRung, "applies", lambda self, task: task.kind == "translation")
    task = Task("generation", "said", ("chrf",))
    assert names(asked_for(make_settings({}), task)) == ["constant", "nearest", "lora", "full"]
    assert names(asked_for(make_settings({"rungs": "few-shot"}), task)) == ["few-shot"]


def test_a_rung_is_found_by_the_name_it_had() -> None:
    rung = RUNGS["lora-open-book"]
    assert RUNGS[rung.formerly] is rung
    assert rung.formerly in RUNGS
    assert rung.formerly not in list(RUNGS)
    asked = make_settings({"rungs": f"{rung.formerly},{rung.name}", "documents": "x.md"})
    assert names(asked_for(asked)) == [rung.name]


def test_a_name_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rung.ladder.rungs.rung.RUNGS", Registry("rung"))
    register(lora := RUNGS["lora"])
    with pytest.raises(ValueError, match="registered twice"):
        register(lora)


def test_the_ladder_the_plan_and_the_context_import_no_torch() -> None:
    code = (
        "import sys, rung.ladder.rungs, rung.ladder.plan, rung.ladder.task, rung.ladder.divide\n"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    source = Path(__file__).parents[3] / "src"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
