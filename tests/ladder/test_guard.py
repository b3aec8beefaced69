"""A learning rate that makes the base worse is lowered, and this is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from rung.errors import ResumeError
from rung.ladder import guard
from rung.ladder.guard import Lowered


def test_a_rate_is_divided_by_four_at_most_three_times() -> None:
    assert [Lowered(times).rate(0.064) for times in range(4)] == [0.064, 0.016, 0.004, 0.001]
    assert [Lowered(times).may_go_on for times in range(4)] == [True, True, True, False]


def test_what_was_lowered_is_kept_with_its_seconds(tmp_path: Path) -> None:
    assert guard.read(tmp_path) == Lowered()
    assert guard.lower(tmp_path, Lowered(), 2.5) == guard.read(tmp_path) == Lowered(1, 2.5)
    assert guard.lower(tmp_path, guard.read(tmp_path), 1.0) == guard.read(tmp_path) == Lowered(2, 3.5)


def test_each_rate_has_its_checkpoints_and_those_of_the_others_go(tmp_path: Path) -> None:
    folders = [Lowered(times).folder(tmp_path) for times in range(3)]
    assert folders == [tmp_path, tmp_path / "lowered-1", tmp_path / "lowered-2"]
    for folder in folders:
        (folder / "step-000001").mkdir(parents=True)
    guard.clear(tmp_path, Lowered())
    guard.clear(tmp_path, Lowered(2))
    assert [(folder / "step-000001").exists() for folder in folders] == [False, False, True]


def test_a_note_says_what_happened() -> None:
    assert Lowered().note(0.01) == ()
    (note,) = Lowered(1).note(0.01)
    assert note.startswith("the learning rate was lowered from 0.01 to 0.0025: ")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / guard.FILE).write_text('{"times": "many"}')
    with pytest.raises(ResumeError, match="times"):
        guard.read(tmp_path)
