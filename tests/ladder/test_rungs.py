"""The rungs as data."""

from __future__ import annotations

import pytest

from rung import config
from rung.errors import UsageError
from rung.ladder.rungs import RUNGS, asked_for
from rung.methods import METHODS


def test_the_settings_name_every_rung_cheapest_first() -> None:
    assert tuple(RUNGS) == config.RUNGS
    assert [rung.order for _, rung in RUNGS.items()] == sorted(rung.order for _, rung in RUNGS.items())


def test_a_rung_that_tunes_names_a_method_and_the_others_prompt() -> None:
    assert {rung.name: rung.method in METHODS for _, rung in RUNGS.items() if rung.tunes} == {
        "lora": True,
        "full": True,
    }
    assert [rung.name for _, rung in RUNGS.items() if rung.shots] == ["few-shot"]


def test_the_rungs_of_a_climb_are_each_run_once_and_cheapest_first() -> None:
    settings = config.make_settings({"rungs": "full,zero-shot,full"})
    assert [rung.name for rung in asked_for(settings)] == ["zero-shot", "full"]


def test_an_unknown_rung_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'lora'"):
        RUNGS["lorra"]


def test_a_method_leaves_only_the_rung_that_tunes_with_it() -> None:
    settings = config.make_settings({"method": "full"})
    assert [rung.name for rung in asked_for(settings)] == ["zero-shot", "few-shot", "full"]
    with pytest.raises(UsageError, match="no rung is left"):
        asked_for(config.make_settings({"method": "full", "rungs": "lora"}))
    with pytest.raises(UsageError, match="Did you mean 'lora'"):
        asked_for(config.make_settings({"method": "lorra"}))
