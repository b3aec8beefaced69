"""What `import rung` offers: the verbs for a path or for rows in memory, with results that a notebook shows.

The work is done in `rung.ladder`; here a climb also writes its report, as the command line does.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from html import escape
from pathlib import Path
from typing import Any

from rung import numbers
from rung.ladder import checking
from rung.ladder import climb as climbing
from rung.ladder import compare as comparing
from rung.ladder import tune as tuning
from rung.ladder.predictor import Predictor
from rung.ladder.predictor import load as load_predictor
from rung.ladder.watch import Watcher
from rung.report.html import NAME, write_report
from rung.report.notebook import run_html, table_html
from rung.report.tables import Table
from rung.report.view import load_view

PathLike = str | Path


@dataclass(frozen=True, slots=True, repr=False)
class Climbed(climbing.Climbed):
    """A finished climb; in a notebook, its table, its verdict and its report."""

    def _repr_html_(self) -> str:
        return run_html(load_view(self.folder), self.folder / NAME)


@dataclass(frozen=True, slots=True, repr=False)
class Evaluated(comparing.Evaluated):
    """Base and adapter on the same rows; in a notebook, a table of both."""

    def _repr_html_(self) -> str:
        title = f"{self.task.kind}, {self.rows} rows; the task is {self.task_from}"
        notes = "".join(f"<p>{escape(numbers.one_line(line))}</p>" for line in self.warnings)
        return f"<p>{escape(title)}</p>{table_html(self.table)}{notes}"

    @property
    def table(self) -> Table:
        """One row a metric."""
        sides = [self.base, *([self.adapter] if self.adapter else [])]
        head = ("metric", "base", "adapter")[: len(sides) + 1]
        rows = tuple(
            (numbers.metric_name(one.name), *(numbers.quality(side[place]) for side in sides))
            for place, one in enumerate(self.base)
        )
        return Table(head, rows, frozenset(range(1, len(head))))


@dataclass(frozen=True, slots=True, repr=False)
class Checked(checking.Checked):
    """What was found in rows; in a notebook, the first lines of `rung check` and the first rows."""

    def __repr__(self) -> str:
        return f"<{self.data.loaded.name}: {self.data.loaded.parts_line}; {self.data.task.why}>"

    def _repr_html_(self) -> str:
        loaded, task = self.data.loaded, self.data.task
        title = f"{loaded.name}: {loaded.format}, {len(loaded.examples):,} rows"
        lines = [title, loaded.parts_line, f"Task: {task.why}", *self.data.warnings]
        said = "".join(f"<p>{escape(numbers.one_line(line))}</p>" for line in lines)
        rows = tuple(
            (str(one.row), "\n".join(turn.content for turn in one.prompt), one.target)
            for one in loaded.examples[:5]
        )
        return said + table_html(Table(("row", "prompt", "target"), rows, frozenset({0})))


def climb(
    data: object, config: PathLike | None = None, watcher: Watcher | None = None, **settings: Any
) -> Climbed:
    """Try every rung on `data` and say which one to use; see `rung.ladder.climb.climb`.

    `data` is a path, a list of dicts, a pandas or polars DataFrame, or a `datasets.Dataset`. `settings` have
    the names of the flags: ``rung.climb(frame, prompt="review", label="stars", budget="30m")``.
    """
    return _reported(climbing.climb(data, config, watcher, **settings))


def check(data: object, config: PathLike | None = None, **settings: Any) -> Checked:
    """Look at `data` before anything is trained on it; see `rung.ladder.checking.check`.

    ``check(...).data`` has the examples and the task, ``check(...).findings`` what was counted.
    """
    found = checking.check(data, config, **settings)
    return Checked(*(getattr(found, one.name) for one in fields(found)))


def tune(
    data: object, config: PathLike | None = None, watcher: Watcher | None = None, **settings: Any
) -> Climbed:
    """Train one method on `data` and keep the adapter; see `rung.ladder.tune.tune`."""
    return _reported(tuning.tune(data, config, watcher, **settings))


def evaluate(
    data: object,
    adapter: PathLike | None = None,
    config: PathLike | None = None,
    watcher: Watcher | None = None,
    **settings: Any,
) -> Evaluated:
    """Measure the base, and an adapter on top of it, on `data`; see `rung.ladder.compare.evaluate`."""
    found = comparing.evaluate(data, adapter, config, watcher, **settings)
    return Evaluated(*(getattr(found, one.name) for one in fields(found)))


def load(run: PathLike, rung: str | None = None) -> Predictor:
    """The recommended rung of the climb in the folder `run`, or the one called `rung`, to answer new rows.

    >>> helper = rung.load("runs/messages-1a2b3c4d")               # doctest: +SKIP
    >>> [found] = helper.answer(["The locker door won't open"])    # doctest: +SKIP
    >>> found.text, found.probability                              # doctest: +SKIP
    ('lockers', 0.93)

    Rows are texts, or dicts with the columns that `Predictor.columns` names. See
    `rung.ladder.predictor.Predictor.answer`.
    """
    return load_predictor(run, rung)


def _reported(found: climbing.Climbed) -> Climbed:
    write_report(found.folder)
    return Climbed(*(getattr(found, one.name) for one in fields(found)))
