"""How a rung went against its quote."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rung.ladder.pace import ENOUGH_ROWS, Pace, pace_of, share_done, still_improving
from rung.records import Cost, CurvePoint, Quote, Result

QUOTE = Quote(
    "lora", True, seconds=100.0, train_seconds=60.0, train_tokens=6000, test_rows=200, answer_seconds=20.0
)


def result(training: float, rest: float, tokens: int = 6000, answered: int = 200) -> Result:
    cost = Cost(seconds=training + rest, train_seconds=training, train_tokens=tokens)
    return Result("lora", "lora", "ok", 5, "tiny", "f00d", cost=cost, counts={"ok": answered})


def test_slower_counts_in_full_and_faster_by_its_root() -> None:
    assert pace_of(QUOTE, result(60.0, 40.0)) == Pace(1.0, 1.0)
    assert pace_of(QUOTE, result(120.0, 120.0)) == Pace(2.0, 3.0)
    assert pace_of(QUOTE, result(15.0, 10.0)) == Pace(0.5, 0.5)


def test_training_is_seen_by_token_and_answers_by_row() -> None:
    """A rung that was stopped half way was not twice as fast."""
    assert pace_of(QUOTE, result(60.0, 40.0, tokens=3000)).training == 2.0
    assert pace_of(QUOTE, result(60.0, 30.0, answered=100)).answering == 1.0


def test_a_moment_says_nothing_about_the_machine() -> None:
    assert pace_of(QUOTE, result(1.0, 1.0)) == Pace()
    assert pace_of(None, result(60.0, 40.0)) == Pace()
    assert pace_of(QUOTE, replace(result(1.0, 1.0), cost=Cost())) == Pace()


@pytest.mark.parametrize(
    ("steps", "rows", "all_rows", "done"),
    [(1.0, 800, 800, 1.0), (0.25, 800, 800, 0.25), (1.0, 36, 795, 36 / 795), (0.5, 400, 800, 0.25)],
)
def test_the_share_done_is_of_steps_and_of_rows(steps: float, rows: int, all_rows: int, done: float) -> None:
    assert share_done(steps, rows, all_rows) == pytest.approx(done)


def test_many_rows_are_enough_however_many_there_are() -> None:
    assert share_done(1.0, ENOUGH_ROWS, 50_000) == 1.0


def test_a_loss_that_is_lowest_at_the_end_may_fall_further() -> None:
    def curve(*losses: float) -> Result:
        points = tuple(CurvePoint(i, 0, 0.0, dev_loss=loss) for i, loss in enumerate(losses))
        return replace(result(1.0, 1.0), curve=points)

    assert still_improving(curve(3.0, 2.0, 1.0))
    assert not still_improving(curve(3.0, 1.0, 2.0))
    assert not still_improving(curve(3.0))
    assert not still_improving(replace(curve(3.0, 2.0), status="unfinished"))
