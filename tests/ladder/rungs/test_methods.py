"""Every method has a rung; two of them are usual."""

from __future__ import annotations

from rung.config import make_settings
from rung.ladder.rungs import RUNGS, asked_for
from rung.ladder.rungs.methods import USUAL
from rung.methods import METHODS


def test_every_method_has_a_rung_of_its_name() -> None:
    for name in METHODS:
        rung = RUNGS[name]
        assert (rung.kind, rung.method, rung.title) == ("tune", name, METHODS.title(name))
        assert rung.on_request is (name not in USUAL)


def test_all_means_those_on_request_too() -> None:
    assert [rung.name for rung in asked_for(make_settings({"rungs": "all"}))] == list(RUNGS)


def test_a_method_on_request_can_be_the_only_one() -> None:
    for name in METHODS:
        tuned = [rung.name for rung in asked_for(make_settings({"method": name})) if rung.kind == "tune"]
        assert tuned == [name]
