"""What a climb reports to its watcher."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

import letters
from rung.ladder.climb import climb
from rung.ladder.watch import Late, OnSplit, Silent, Until, Watcher
from rung.records import Result


def methods_of(kind: type) -> dict[str, list[str]]:
    return {
        name: list(inspect.signature(member).parameters)
        for name, member in vars(kind).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }


def test_the_silent_watcher_has_all_a_watcher_needs() -> None:
    assert methods_of(Silent) == methods_of(Watcher)
    assert {"say", "prepared", "planned", "begin", "rows", "step", "finished"} == set(methods_of(Watcher))


class Diary(Silent):
    """Records every call."""

    def __init__(self) -> None:
        self.lines: list[Any] = []

    def prepared(self, prepared: Any) -> None:
        self.lines.append("prepared")

    def planned(self, plan: Any) -> None:
        self.lines.append("planned")

    def begin(self, rung: str, phase: str) -> None:
        self.lines.append((rung, phase))

    def rows(self, done: int, total: int) -> None:
        self.lines.append(("rows", done, total))

    def step(self, done: int, total: int, loss: float, tokens_per_second: float, seconds_left: float) -> None:
        assert loss > 0
        assert tokens_per_second > 0
        assert seconds_left >= 0
        self.lines.append(("step", done, total))

    def finished(self, result: Result, before: bool) -> None:
        self.lines.append(("finished", result.rung, before))


def test_everything_is_told_in_order(letters_csv: Path, tmp_path: Path) -> None:
    diary = Diary()
    settings = letters.FAST | {"rungs": "zero-shot,lora", "epochs": 1}
    climb(letters_csv, output=tmp_path / "run", watcher=diary, **settings)
    lines = diary.lines
    phases = [line for line in lines if isinstance(line, str) or line[0] not in ("rows", "step")]
    timings = [line for line in phases if line[0] == ""]
    timed = ("reading prompts", "writing answers", "choosing among labels", "training with LoRA")
    assert timings == [*(("", f"timing: {kind}") for kind in timed), ("", "reading general texts")]
    choosing = [line for line in phases if line[1].startswith("choosing on dev: ")]
    assert len(choosing) > 1
    assert {line[0] for line in choosing} == {"zero-shot"}
    assert [line for line in phases if line[0] != "" and line not in choosing] == [
        "prepared",
        "planned",
        ("zero-shot", "answering test rows"),
        ("finished", "zero-shot", False),
        ("lora", "training"),
        ("lora", "measuring what it forgot"),
        ("lora", "choosing on dev"),
        ("lora", "answering test rows"),
        ("finished", "lora", False),
    ]
    steps = [line for line in lines if line[0] == "step"]
    assert [done for _, done, _ in steps] == list(range(1, steps[0][2] + 1))
    last_rows = [line for line in lines if line[0] == "rows"][-1]
    assert last_rows == ("rows", 40, 40)

    again = Diary()
    climb(letters_csv, output=tmp_path / "run", watcher=again, **settings)
    assert again.lines == [
        "prepared",
        "planned",
        ("finished", "zero-shot", True),
        ("finished", "lora", True),
    ]


def test_a_watcher_of_one_split_names_it_and_leaves_out_what_was_said_before() -> None:
    diary = Diary()
    watcher: Watcher = OnSplit(diary, 2, 5)
    watcher.planned(None)  # type: ignore[arg-type]
    watcher.prepared(None)  # type: ignore[arg-type]
    watcher.begin("lora", "training")
    watcher.rows(1, 2)
    assert diary.lines == [("lora", "training, split 2 of 5"), ("rows", 1, 2)]
    assert all(callable(getattr(watcher, name)) for name in methods_of(Watcher))


def test_a_watcher_with_a_deadline_passes_everything_on() -> None:
    diary, late = Diary(), [False]
    until = Until(diary, lambda: late[0])
    until.begin("few-shot", "choosing on dev")
    until.rows(1, 2)
    late[0] = True
    until.step(1, 2, 3.0, 4.0, 5.0)  # training has a limit of its own
    with pytest.raises(Late):
        until.rows(2, 2)
    assert diary.lines == [("few-shot", "choosing on dev"), ("rows", 1, 2), ("step", 1, 2), ("rows", 2, 2)]
    watcher: Watcher = until
    assert all(callable(getattr(watcher, name)) for name in methods_of(Watcher))
