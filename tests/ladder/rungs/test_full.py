"""The rung `full`."""

from __future__ import annotations

from rung.ladder.rungs import RUNGS
from rung.methods import METHODS


def test_it_tunes_with_the_method_of_its_name() -> None:
    rung = RUNGS["full"]
    assert (rung.kind, rung.method, rung.title) == ("tune", "full", METHODS["full"].title)
