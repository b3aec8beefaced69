"""Few-shot prompting."""

from __future__ import annotations

from dataclasses import replace

from contexts import context_of
from rung.config import make_settings
from rung.ladder.prepare import Prepared
from rung.ladder.rungs.few_shot import FewShot


def test_there_is_a_way_for_each_number_of_shots(prepared: Prepared) -> None:
    context = context_of(replace(prepared, settings=make_settings({"shots": "4,2"})))
    ways = FewShot().ways(context)
    assert [(way.name, len(way.shots)) for way in ways] == [("2", 2), ("4", 4)]
    assert all(set(way.shots) <= set(prepared.split.train) for way in ways)
    tries, prefix = FewShot().tries(context)
    assert (tries, prefix) == (2, context.work.shots[4])
