"""The floor of preferences in a climb: it needs no base, and other tasks do not try it."""

from __future__ import annotations

from rows_of import loaded_of, of_targets
from rung.config import make_settings
from rung.evaluation.tasks import understand
from rung.ladder.rungs import RUNGS, asked_for


def test_it_is_a_floor_without_a_base() -> None:
    assert (RUNGS["length"].kind, RUNGS["length"].needs_base) == ("floor", False)


def test_labels_do_not_try_it() -> None:
    task, _ = understand(loaded_of(of_targets("yes", "no", times=20)))
    assert "length" not in [rung.name for rung in asked_for(make_settings({}), task)]
