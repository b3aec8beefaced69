"""What a climb reports while it runs; the command line draws it, and the default watcher is silent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from rung.records import Result

if TYPE_CHECKING:
    from rung.ladder.divide import Divided
    from rung.ladder.plan import Plan


class Watcher(Protocol):
    """Called while a climb runs. Raising KeyboardInterrupt from `step` or `rows` stops it cleanly."""

    def say(self, text: str) -> None:
        """One line for the log."""
        ...

    def prepared(self, rows: Divided) -> None: ...

    def planned(self, plan: Plan) -> None: ...

    def begin(self, rung: str, phase: str) -> None:
        """A rung enters a phase, such as "answering test rows" or "training"."""
        ...

    def rows(self, done: int, total: int) -> None: ...

    def step(
        self, done: int, total: int, loss: float, tokens_per_second: float, seconds_left: float
    ) -> None: ...

    def finished(self, result: Result, before: bool) -> None:
        """A rung is done; `before` says it was done in an earlier run of the same command."""
        ...


class Silent:
    """Says nothing."""

    def say(self, text: str) -> None: ...

    def prepared(self, rows: Divided) -> None: ...

    def planned(self, plan: Plan) -> None: ...

    def begin(self, rung: str, phase: str) -> None: ...

    def rows(self, done: int, total: int) -> None: ...

    def step(
        self, done: int, total: int, loss: float, tokens_per_second: float, seconds_left: float
    ) -> None: ...

    def finished(self, result: Result, before: bool) -> None: ...


class OnSplit:
    """Passes on what happens on one of several splits, to `watcher`, but not rows and plan again."""

    def __init__(self, watcher: Watcher, number: int, splits: int) -> None:
        self.watcher, self.name = watcher, f"split {number} of {splits}"
        self.say, self.rows, self.step, self.finished = (
            watcher.say,
            watcher.rows,
            watcher.step,
            watcher.finished,
        )

    def prepared(self, rows: Divided) -> None: ...

    def planned(self, plan: Plan) -> None: ...

    def begin(self, rung: str, phase: str) -> None:
        self.watcher.begin(rung, f"{phase}, {self.name}")


class Late(Exception):
    """A rung has used up its time before it could answer."""


class Until:
    """Passes everything on to `watcher`, and raises `Late` from `rows` once `late` is true."""

    def __init__(self, watcher: Watcher, late: Callable[[], bool]) -> None:
        self.watcher, self.late = watcher, late
        self.say, self.prepared, self.planned = watcher.say, watcher.prepared, watcher.planned
        self.begin, self.step, self.finished = watcher.begin, watcher.step, watcher.finished

    def rows(self, done: int, total: int) -> None:
        self.watcher.rows(done, total)
        if self.late():
            raise Late
