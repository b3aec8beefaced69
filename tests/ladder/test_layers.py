"""Which layers are tuned where the user says nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rung.ladder.layers import are_few, epochs_of_all, usual_layers
from rung.ladder.options import attached_for
from rung.ladder.prepare import Prepared
from rung.methods import METHODS


def layers(prepared: Prepared, method: str = "lora", **asked: Any) -> int | None:
    return usual_layers(prepared, method, METHODS[method].make(asked))


def test_lora_and_dora_tune_the_top_half(prepared: Prepared) -> None:
    assert [layers(prepared, method) for method in ("lora", "dora", "bottleneck", "full")] == [
        1,
        1,
        None,
        None,
    ]
    assert layers(prepared, rank=4) == 1


@pytest.mark.parametrize("asked", [{"top_layers": 2}, {"targets": ("q_proj",)}, {"ranks": {"q_proj": 2}}])
def test_what_was_asked_stays(prepared: Prepared, asked: dict[str, Any]) -> None:
    assert layers(prepared, **asked) is None


def test_all_layers_where_the_trunk_cannot_be_kept(prepared: Prepared) -> None:
    base = replace(prepared.base, route=replace(prepared.base.route, path="plain"))
    assert layers(replace(prepared, speaker=replace(prepared.speaker, base=base))) is None


def test_all_layers_where_any_text_is_an_answer(prepared: Prepared) -> None:
    assert layers(replace(prepared, task=replace(prepared.task, kind="translation"))) is None
    assert layers(replace(prepared, task=replace(prepared.task, kind="extraction"))) == 1
    assert layers(prepared, "lora-dpo") is None


def test_a_climb_tunes_them(prepared: Prepared) -> None:
    with attached_for(prepared, "lora") as attached:
        assert attached.frozen_layers() == 1
        assert attached.applied()["top_layers"] == 1


def test_few_are_half_at_most(prepared: Prepared) -> None:
    assert are_few(prepared, "lora", METHODS["lora"].make({"top_layers": 1}))
    assert not are_few(prepared, "lora", METHODS["lora"].make({"top_layers": 2}))
    assert not are_few(prepared, "full", METHODS["full"].make({}))


def test_epochs_of_all_layers_take_as_long() -> None:
    # with half of the layers 2 * 0.5 passes an epoch and 0.5 once; with all of them 2 an epoch
    assert epochs_of_all(3.5) == 2.0
    assert epochs_of_all(1.0) == 0.8  # 0.75
