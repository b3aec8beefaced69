"""Rungs next to each other: the test rows they share, as statistics of the primary metric.

A rung that answered fewer rows than the others is compared with them on the rows it has. The others lose no
rows by that: they are still compared with each other on all rows.

In repeated splits a row may have been answered several times.  Two rungs are compared on the answers that
both gave in the same splits; a row then counts once, with the mean of its statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rung.evaluation import stats
from rung.evaluation.metrics import METRICS, Metric, primary_rows
from rung.ladder import regret
from rung.records import Answer, Example, Task

MARGIN = 5.0  # points: a difference worth more test rows
WHOLE = 0.9  # share of the most rows that any rung answered, from which a rung counts as having them all

Answers = Mapping[str, Sequence[Answer]]


@dataclass(frozen=True, slots=True)
class Board:
    """Rungs that are compared together."""

    names: tuple[str, ...]
    given: tuple[regret.Given, ...]  # statistics of each
    rows: int  # on which most of them are compared
    fewer: Mapping[str, int]  # rungs that answered fewer of these, and how many


@dataclass(frozen=True, slots=True)
class Bench:
    """What every comparison needs."""

    task: Task
    examples: Sequence[Example]
    answers: Answers
    seed: int
    row_of: Mapping[str, str] = field(default_factory=dict)  # example id -> row; empty: each is a row
    inflation: float = 1.0  # of the variance, by training on other splits (`rung.ladder.repeat`)
    _seen: dict[tuple[str, tuple[str, ...]], stats.Floats] = field(default_factory=dict)

    @property
    def metric(self) -> Metric:
        return METRICS[self.task.primary]

    @property
    def sign(self) -> int:
        """What turns a difference in the metric into how far the first rung is ahead."""
        return 1 if self.metric.higher_is_better else -1

    def scaled(self, points: float) -> float:
        """Points of the screen on the metric's own scale."""
        return points if self.metric.unit else points / 100

    def width(self, points: float) -> float:
        """A difference in points on the metric's own scale: as many hundredths of what it can be."""
        return points / 100 * (self.metric.reach(self.task) or 1.0)

    @property
    def margin(self) -> float:
        """`MARGIN` on the metric's own scale."""
        return self.width(MARGIN)

    def judged(self, rung: str) -> dict[str, Answer]:
        """The answers that could be graded, by row."""
        return {one.example_id: one for one in self.answers[rung] if one.status != "error"}

    def shared(self, rungs: Sequence[str]) -> tuple[str, ...]:
        """Ids of the examples that all of `rungs` answered, in their order."""
        judged = [self.judged(rung) for rung in rungs]
        return tuple(row.id for row in self.examples if all(row.id in one for one in judged))

    def names(self, ids: Sequence[str]) -> tuple[str, ...]:
        """The rows of the examples `ids`, each once."""
        return tuple(dict.fromkeys(self.row_of.get(one, one) for one in ids))

    def rows(self, rung: str, ids: tuple[str, ...]) -> stats.Floats:
        """Statistics (n, k) of a rung on the rows of the examples `ids`."""
        if (rung, ids) not in self._seen:
            wanted, judged = set(ids), self.judged(rung)
            some = [judged[name] for name in ids]
            examples = [row for row in self.examples if row.id in wanted]
            found = primary_rows(self.task, examples, some, [one.text for one in some])
            if self.row_of:
                found = stats.by_row(found, [self.row_of[name] for name in ids])
            self._seen[rung, ids] = found
        return self._seen[rung, ids]

    def board(self, rungs: Sequence[str]) -> Board:
        """What `rungs` are compared by, all at once; rungs without rows in common with the others are not
        on it."""
        counts = {rung: len(self.judged(rung)) for rung in rungs}
        whole = [rung for rung in rungs if counts[rung] >= WHOLE * max(counts.values(), default=0)]
        ids = self.shared(whole)
        if not ids:
            return Board((), (), 0, {})
        on_all = {rung: self.rows(rung, ids) for rung in whole}
        best = max(whole, key=lambda rung: self.sign * float(self.metric.value(on_all[rung].sum(axis=0))))
        parts = {rung: some for rung in rungs if rung not in whole and (some := self.shared([*whole, rung]))}
        names = tuple(rung for rung in rungs if rung in on_all or rung in parts)
        place = {name: i for i, name in enumerate(self.names(ids))}
        given = [
            on_all[rung]
            if rung in on_all
            else regret.Part(
                np.array([place[name] for name in self.names(parts[rung])]),
                self.rows(rung, parts[rung]),
                self.rows(best, parts[rung]),
                names.index(best),
            )
            for rung in names
        ]
        fewer = {rung: len(self.names(some)) for rung, some in parts.items()}
        return Board(names, tuple(given), len(place), fewer)

    def compare(self, first: str, second: str) -> stats.Difference | None:
        """First minus second, or None without rows in common."""
        ids = self.shared([first, second])
        if not ids:
            return None
        one, two = self.rows(first, ids), self.rows(second, ids)
        if self.metric.share:
            if self.row_of:
                return stats.paired_means(one[:, 0], two[:, 0], self.inflation)
            return stats.paired_shares(one[:, 0], two[:, 0])
        return stats.paired_difference(one, two, self.metric.value, self.seed, self.inflation)
