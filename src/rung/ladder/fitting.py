"""Sizes that fit into a time: test rows are bought first, then dev rows, then training.

Where answers would take more than `ANSWER_SHARE` of the time, dev shrinks; then the rungs with the most
expensive answers get fewer test rows, each alone, but never below `FEWEST_TEST`. What is left is training,
the same rows and epochs for every tuned rung.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

from rung.ladder.context import Context
from rung.ladder.forecast import Size
from rung.ladder.pace import ENOUGH_ROWS, FAIR
from rung.ladder.rungs import Rung
from rung.ladder.sized import quote_at
from rung.records import Quote

ANSWER_SHARE = 0.4
FEWEST_TEST = 100
FEWEST_DEV = 40
FEWEST_ROWS = 20  # of train
_ROOM = 1.2  # times a fair try, so that training that is stopped a little early still is one
_SHRINK = (1.0, 0.8, 0.6, 0.45, 0.3, 0.2, 0.15, 0.1, 0.05, 0.0)


@dataclass(frozen=True, slots=True)
class Fitted:
    """Sizes, and the test rows of each rung."""

    size: Size
    test: Mapping[str, int]

    def at(self, rung: str) -> Size:
        return replace(self.size, test=self.test[rung])


class Fitting:
    """Finds the largest sizes, up to `most`, with which rungs fit into `time` seconds (None: no limit).

    A tuned rung that is alone may have less than a fair try, but not `after` another one has been tuned.
    """

    def __init__(self, context: Context, most: Size, time: float | None, after: bool = False) -> None:
        self.context, self.most, self.time, self.after = context, most, time, after
        self._quotes: dict[tuple[str, Size], Quote] = {}  # each is asked for many times

    def fit(self, rungs: Sequence[Rung], fair: bool = False) -> Fitted | None:
        """With `fair`, several tuned rungs may get as few train rows as a fair try needs.

        None where the rungs do not fit together. Raises `Refused` where one cannot be quoted."""
        found = Fitted(self.most, {rung.name: self.most.test for rung in rungs})
        if self.time is None:
            return found
        tuned = [rung for rung in rungs if self._quote(rung, found).train_seconds is not None]
        if not tuned:
            return self._answers(rungs, found, self.time)
        nothing = Fitted(replace(self.most, dev=0), dict.fromkeys(found.test, 0))
        fixed = self._answering(rungs, nothing)
        # a single tuned rung may also have the time of all answers but the fewest
        for share in (ANSWER_SHARE, 0.0) if len(tuned) == 1 else (ANSWER_SHARE,):
            answers = self._answers(rungs, found, self.time, fixed + share * (self.time - fixed))
            if answers is not None:
                left = self.time - self._answering(rungs, answers)
                if trained := self._training(tuned, answers, left, len(rungs) == 1 and not self.after, fair):
                    return trained
        return None

    def _answers(
        self, rungs: Sequence[Rung], found: Fitted, time: float, wanted: float | None = None
    ) -> Fitted | None:
        """Dev and test rows that take at most `wanted` seconds, or else the fewest, within `time`."""
        room = time if wanted is None else wanted
        for shrink in _SHRINK:
            dev = max(min(self.most.dev, FEWEST_DEV), round(self.most.dev * shrink))
            found = replace(found, size=replace(self.most, dev=dev))
            if self._answering(rungs, found) <= room:
                return found
        found = self._fewer_test_rows(rungs, found, room)
        return found if self._answering(rungs, found) <= time else None

    def least(self, rung: Rung, fair: bool = False) -> float:
        """Seconds of `rung` at its smallest; with `fair`, with as many train rows as a fair try needs."""
        most = self.most
        rows = max(FEWEST_ROWS, ceil(FAIR * min(most.train, ENOUGH_ROWS))) if fair else FEWEST_ROWS
        size = Size(
            dev=min(most.dev, FEWEST_DEV),
            test=min(most.test, FEWEST_TEST),
            train=min(most.train, rows),
            epochs=self.context.settings.epochs or 1.0,
        )
        return self._at(rung, size).seconds or 0.0

    def _quote(self, rung: Rung, found: Fitted) -> Quote:
        return self._at(rung, found.at(rung.name))

    def _at(self, rung: Rung, size: Size) -> Quote:
        key = rung.name, size
        if key not in self._quotes:
            self._quotes[key] = quote_at(self.context, rung, size)
        return self._quotes[key]

    def _answering(self, rungs: Sequence[Rung], found: Fitted) -> float:
        """Seconds of all `rungs` without their training, and without the race before it."""
        quotes = [self._quote(rung, found) for rung in rungs]
        return sum((quote.seconds or 0.0) - _learning(quote) for quote in quotes)

    def _fewer_test_rows(self, rungs: Sequence[Rung], found: Fitted, room: float) -> Fitted:
        """Take test rows from the rung that spends the most time on them, until all is within `room`."""
        fewest = min(self.most.test, FEWEST_TEST)
        while self._answering(rungs, found) > room:
            able = {
                rung.name: self._quote(rung, found).answer_seconds or 0.0
                for rung in rungs
                if found.test[rung.name] > fewest
            }
            if not able:
                break
            name = max(able, key=able.__getitem__)
            rows = max(fewest, int(found.test[name] * 0.9))
            found = replace(found, test={**found.test, name: rows})
        return found

    def _training(
        self, tuned: Sequence[Rung], found: Fitted, time: float, alone: bool, fair: bool
    ) -> Fitted | None:
        """Give every tuned rung the same: whole epochs where they fit, else a sample of the rows.

        Several rungs share the time only where each sees all rows once, or `ENOUGH_ROWS` of them: one rung
        trained well says more than two that are not. One rung takes time from others only for a fair try.
        """

        def sized(rows: int, epochs: float) -> Fitted | None:
            some = replace(found, size=replace(found.size, train=rows, epochs=epochs))
            seconds = sum(_learning(self._quote(rung, some)) for rung in tuned)
            return some if seconds <= time else None

        rows, asked = found.size.train, self.context.settings.epochs
        for tenths in range(round(found.size.epochs * 10), 9, -1) if asked is None else ():
            if fits := sized(rows, tenths / 10):
                return fits
        enough = min(rows, ENOUGH_ROWS)
        fewest = min(FEWEST_ROWS, rows)
        if not alone:
            several = len(tuned) > 1 and not fair
            fewest = max(fewest, enough if several else ceil(_ROOM * FAIR * enough))
        while not (fits := sized(rows, asked or 1.0)) and rows > fewest:
            rows = max(fewest, int(rows * 0.95))
        return fits


def _learning(quote: Quote) -> float:
    """Seconds of training and of the race before it."""
    return (quote.train_seconds or 0.0) + quote.race_seconds
