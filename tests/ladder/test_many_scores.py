"""The adapter for all, on the rows of each file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contexts import context_of
from rung import cost
from rung.evaluation.label_rules import LabelRule
from rung.ladder import many_scores
from rung.ladder.answer_by import WRITING, AnswerBy
from rung.ladder.many_scores import Scored, Time, _Scoring, score
from rung.ladder.many_time import Pace
from rung.ladder.prepare import Prepared
from rung.ladder.prompting import FILE
from rung.ladder.watch import Silent
from rung.methods.origin import ANSWER_BY
from rung.records import Answer, Completion, Example, Measure, Result, to_json
from rung.storage import write_json

PACE = Pace(row=1.0, choosing=0.0, starts=2.0, rows=400)


def mixed(status: str = "ok") -> Result:
    return Result("lora", "lora", status, 1, "tiny", "", finished="today")  # type: ignore[arg-type]


def test_without_an_adapter_there_are_no_scores(tmp_path: Path) -> None:
    assert score(tmp_path, {"a": PACE}, "lora", mixed("skipped"), Silent()) == {}
    assert score(tmp_path, {"a": PACE}, "lora", mixed(), Silent()) == {}


def test_scores_of_the_same_adapter_are_read(tmp_path: Path) -> None:
    (tmp_path / "all" / "adapters" / "lora").mkdir(parents=True)
    answers = (Answer("x", "text", "ok", "text", {"rouge_l": 1.0}),)
    kept = Scored("today", answers, (), (Measure("rouge_l", 1.0),), {"b": 0.5})
    (tmp_path / "all" / "scores").mkdir()
    write_json(tmp_path / "all" / "scores" / "a.json", to_json(kept))
    assert score(tmp_path, {"a": PACE}, "lora", mixed(), Silent()) == {"a": kept}


class Clock:
    """Seconds that pass only where a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(cost.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Scoring:
    """In the place of the real one: a file takes its seconds."""

    def __init__(self, clock: Clock, takes: float) -> None:
        self.clock, self.takes = clock, takes
        self.shares: list[float | None] = []

    def of(self, folder: Path, rung: str, others: Any, pace: Pace, time: Time) -> Scored:
        self.shares.append(time.left)
        self.clock.now += self.takes
        return Scored("today", (), (), (), {}, self.takes)


def scoring(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    clock: Clock,
    takes: float,
    seconds: float | None,
    pace: Pace = PACE,
) -> tuple[list[str], list[float | None]]:
    """The files that are scored in so many seconds, each of which takes some; and the share of each."""
    (folder / "all" / "adapters" / "lora").mkdir(parents=True, exist_ok=True)
    (folder / "all" / "scores").mkdir(exist_ok=True)
    fake = Scoring(clock, takes)
    monkeypatch.setattr(many_scores, "_Scoring", lambda *_: fake)
    found = score(folder, dict.fromkeys("abc", pace), "lora", mixed(), Silent(), seconds)
    return list(found), fake.shares


def test_files_share_the_time_and_the_last_ones_are_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    assert scoring(monkeypatch, tmp_path, clock, 150.0, 330.0) == (["a", "b"], [110.0, 90.0])
    # the same command again: what was scored counts, and nothing is left for the third
    assert scoring(monkeypatch, tmp_path, clock, 150.0, 330.0) == (["a", "b"], [])
    assert scoring(monkeypatch, tmp_path, clock, 150.0, None) == (["a", "b", "c"], [None])


def test_nothing_is_scored_where_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    assert scoring(monkeypatch, tmp_path, clock, 1.0, 99.0) == ([], [])  # 100 rows take 100 s
    unknown = replace(PACE, row=0.0)
    assert scoring(monkeypatch, tmp_path, clock, 1.0, -5.0, unknown) == ([], [])
    assert scoring(monkeypatch, tmp_path, clock, 1.0, 5.0, unknown)[0] == ["a", "b", "c"]


class Slow:
    """An adapter that answers a row in so many seconds."""

    def __init__(self, clock: Clock, row: float, prepared: Prepared) -> None:
        self.clock, self.row, self.speaker = clock, row, prepared.speaker
        self.calls: list[int] = []

    def answer(self, examples: Sequence[Example], ids: Any, watch: Any = None) -> list[Completion]:
        self.calls.append(len(examples))
        self.clock.now += self.row * len(examples)
        return [Completion(one.id, "x", 1) for one in examples]


def answered(
    prepared: Prepared, clock: Clock, row: float, pace: Pace, seconds: float | None
) -> tuple[list[int], int]:
    """Rows of each call, and of all."""
    context = context_of(prepared)
    test = [replace(one, id=f"{one.id[:8]}{n:08x}") for n in range(12) for one in prepared.split.test]
    context.split = replace(context.split, test=tuple(test[: pace.rows]))
    slow: Any = Slow(clock, row, prepared)
    found, said = _Scoring(Path(), "today", Silent())._answered(context, slow, pace, Time(seconds))
    assert [one.id for one in found] == [one.example_id for one in said]
    assert set(found) <= set(test)
    return slow.calls, len(found)


def test_test_rows_are_answered_as_long_as_there_is_time(prepared: Prepared, clock: Clock) -> None:
    assert answered(prepared, clock, 1.0, PACE, None) == ([400], 400)
    assert answered(prepared, clock, 1.0, PACE, 500.0) == ([100, 300], 400)
    # the fewest first, then nine tenths of what is left at the pace that they show
    assert answered(prepared, clock, 1.5, PACE, 300.0) == ([100, 90], 190)
    assert answered(prepared, clock, 5.0, PACE, 300.0) == ([100], 100)  # never below the fewest
    assert answered(prepared, clock, 5.0, replace(PACE, rows=30), 1.0) == ([30], 30)


def test_without_time_labels_are_answered_as_the_own_adapter_does(
    prepared: Prepared, tmp_path: Path, clock: Clock
) -> None:
    context, notes = context_of(prepared, tmp_path), list[str]()
    slow = replace(PACE, choosing=50.0)
    by = _Scoring(Path(), "today", Silent())._way(context, "lora", slow, Time(120.0), notes)
    assert by == WRITING  # nothing was saved
    assert notes == ["the adapter for all answers as the file's own does, without a choice on dev"]
    saved = AnswerBy("likelihood", prepared.task.labels, LabelRule(per_token=True))
    write_json(context.folder.file("answer", "lora", FILE), {ANSWER_BY: to_json(saved)})
    assert _Scoring(Path(), "today", Silent())._way(context, "lora", slow, Time(120.0), notes) == saved
