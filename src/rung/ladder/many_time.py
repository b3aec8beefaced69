"""How several files share one budget: a share for each file, the one adapter for all, and its answers.

Half of the budget is for the files, in turn: what one of them uses too much, or does not use, is taken from
or given to those after it. The rest is for the adapter for all and for its answers, whose seconds are quoted
from what the files have measured. All numbers come from records on disk, so a run that continues gets the
same shares. Arithmetic, no torch, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rung import storage
from rung.ladder.fitting import FEWEST_TEST
from rung.ladder.forecast import MOST_CHOOSING_ROWS
from rung.ladder.plan import Plan
from rung.records import Result, Task, from_json

EACH = 0.5  # of the budget, for the files
LEAST_SHARE = 0.25  # of an even share: a file with less is not begun
LEAST_ALL = 0.1  # of the budget: with less, no adapter for all is tuned
MOST_ANSWERING = 0.4  # of what is left after the files
SPARE = 1.15  # times the quote of answering: the base is loaded once more, and quotes are not exact
START_ROWS = 32  # dev rows on which an adapter is measured as a start


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that the adapter for all needs on one file, as far as its own climb shows."""

    row: float  # to answer one test row; 0: not known
    choosing: float  # to choose on dev how labels are answered; 0 without labels
    starts: float  # to measure the other adapters as starts
    rows: int  # of test, that there are to answer

    @property
    def fewest(self) -> int:
        """Test rows below which a comparison says too little."""
        return min(self.rows, FEWEST_TEST)

    @property
    def seconds(self) -> float:
        return self.choosing + self.row * self.rows + self.starts


def share_of(budget: float, spent: float, done: int, files: int) -> float | None:
    """Seconds for the next file after `done` of `files` have taken `spent` seconds; None where too few are
    left for it."""
    share = (EACH * budget - spent) / (files - done)
    return share if share >= LEAST_SHARE * EACH * budget / files else None


def for_all(budget: float, spent: float, answering: Iterable[Pace]) -> float | None:
    """Seconds for tuning the one adapter, after the files took `spent` seconds; None where too few are left.

    The rest is for its answers.
    """
    left = budget - spent
    if left < LEAST_ALL * budget:
        return None
    return left - min(SPARE * sum(one.seconds for one in answering), MOST_ANSWERING * left)


def pace_of(folder: Path, rung: str, task: Task, files: int) -> Pace:
    """From the climb in `folder`: how fast its own adapter answered, or, where it did not, its slowest rung.

    Raises `ResumeError` where a record is damaged.
    """
    plan = from_json(Plan, storage.read_json(folder / "plan.json"), "plan.json")
    paths = sorted((folder / "results").glob("*.json"))
    results = [from_json(Result, storage.read_json(path), path.name) for path in paths]
    own = next((one for one in results if one.rung == rung), None)
    rows = plan.test_rows
    row = _row_seconds(own) if own is not None else 0.0
    if own is not None and row:
        rows = own.cost.answers or rows  # a comparison needs the rows that both have answered
    row = row or max(map(_row_seconds, results), default=0.0)
    quote, rates = plan.find(rung), plan.rates
    choosing = starts = 0.0
    if quote is not None and rates is not None:
        if task.labels:
            choosing = min(plan.dev_rows, MOST_CHOOSING_ROWS) * (row + rates.score)
        trained = quote.train_rows * quote.epochs
        if trained and rates.prefill:
            starts = files * min(plan.dev_rows, START_ROWS) * quote.train_tokens / trained / rates.prefill
    return Pace(row, choosing, starts, rows)


def _row_seconds(result: Result) -> float:
    return (result.cost.answer_seconds or 0.0) / result.cost.answers if result.cost.answers else 0.0
