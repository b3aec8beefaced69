"""How far a rung may be from its quote: ranges of seconds and of bytes, as pure functions.

The widths are what committed climbs support (`benchmarks/quotes.py`): 17 of 19 rungs that train, or fit a
probe, ended within 25% of their quote; 5 of 5 peaks of memory were between 10% below it and 30% above.
"""

from __future__ import annotations

UNFORESEEN = 0.25  # of the seconds of a quote, in each direction, besides the spread of the timings
MOST_EARLY = 0.75  # of a quote, however much the timings behind it differ
UNTIMED = 3.0  # times: how far a rung may be from a quote for which nothing was timed
LESS_MEMORY, MORE_MEMORY = 0.1, 0.3  # of the bytes of a quote


def of_seconds(
    seconds: float, spread: float, low: float | None = None, high: float | None = None
) -> tuple[float, float]:
    """The range of a quote of `seconds` that was made from timings.

    `spread` is half of what lies between their shortest and their longest, as a share of their median. `low`
    and `high` are what a rung says itself, where it does not know yet what it will do; the range is around
    these.
    """
    least = seconds if low is None else low
    most = seconds if high is None else high
    return least * (1 - min(MOST_EARLY, UNFORESEEN + spread)), most * (1 + UNFORESEEN + spread)


def of_untimed(seconds: float) -> tuple[float, float]:
    """The range of a quote of `seconds` for which nothing was timed."""
    return seconds / UNTIMED, seconds * UNTIMED


def of_bytes(size: int | None) -> tuple[int | None, int | None]:
    """The range of a quote of `size` bytes at the peak; None where none was quoted."""
    if size is None:
        return None, None
    return round(size * (1 - LESS_MEMORY)), round(size * (1 + MORE_MEMORY))


def spread_of(training: float, answering: float, share: float) -> float:
    """The spread of a quote of which the share `share` (0 to 1) is training; both parts have their own."""
    return share * training + (1 - share) * answering
