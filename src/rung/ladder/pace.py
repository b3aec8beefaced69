"""How a rung went against its quote: how much slower the machine was, and whether the rung had its chance.

A rung that was cut short has not lost. If it has done less than `FAIR` of what was planned, it is
*unfinished* and is not compared with other rungs:

    done = steps taken / steps planned * train rows used / min(train rows there are, `ENOUGH_ROWS`)
"""

from __future__ import annotations

from dataclasses import dataclass

from rung.records import Quote, Result

FAIR = 0.5
ENOUGH_ROWS = 1000  # a rung that has learned from so many rows has had its chance, however many there are
_TIMED = 2.0  # seconds: less says nothing about the machine
_LEAST, _MOST = 0.25, 20.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Time used over time quoted, for each kind of work."""

    training: float = 1.0
    answering: float = 1.0


def pace_of(quote: Quote | None, result: Result) -> Pace:
    """How much slower than `quote` the rung was; 1 where that cannot be said.

    What was slower counts in full; what was faster counts by its root, since the next rung does other work.
    """
    cost = result.cost
    if quote is None or not quote.seconds or cost.seconds is None:
        return Pace()
    if cost.train_seconds and not quote.train_seconds:  # another rung's training is in its cost
        return Pace()
    trained, wanted = cost.train_seconds or 0.0, quote.train_seconds or 0.0
    training = 1.0
    if cost.train_tokens and quote.train_tokens and wanted:
        training = _ratio(trained / cost.train_tokens, wanted / quote.train_tokens, trained)
    rest, quoted = cost.seconds - trained, quote.seconds - wanted
    answered = sum(result.counts.values())
    if quote.answer_seconds and quote.test_rows and answered:  # fewer rows than planned take less time
        quoted -= quote.answer_seconds * (1 - min(1.0, answered / quote.test_rows))
    return Pace(training, _ratio(rest, quoted, rest))


def _ratio(used: float, quoted: float, seconds: float) -> float:
    if seconds < _TIMED or quoted <= 0:
        return 1.0
    ratio = min(_MOST, max(_LEAST, used / quoted))
    return float(ratio if ratio >= 1 else ratio**0.5)


def share_done(steps: float, rows: int, all_rows: int) -> float:
    """How much of a fair try a rung has had: `steps` is the share of the planned steps that were taken."""
    enough = min(all_rows, ENOUGH_ROWS)
    return steps * min(1.0, rows / enough) if enough else steps


def still_improving(result: Result) -> bool:
    """Whether the loss on dev was lowest at the end of training."""
    losses = [point.dev_loss for point in result.curve if point.dev_loss is not None]
    return result.status == "ok" and len(losses) > 1 and losses[-1] == min(losses)
