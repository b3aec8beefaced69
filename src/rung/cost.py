"""Seconds, bytes, money: measuring them, and the arithmetic."""

from __future__ import annotations

import ctypes
import sys
import time
from contextlib import suppress
from pathlib import Path

from rung.errors import ResourceError

_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


class Stopwatch:
    """Wall-clock seconds since it was made, plus what an earlier, interrupted try had used."""

    def __init__(self, before: float = 0.0) -> None:
        self._start = time.monotonic() - before

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start


def trim() -> None:
    """Give memory that is only kept for reuse back to the system, where its C library can do that."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


class PeakMemory:
    """The highest resident set of this process since `reset`, in bytes.

    Linux can reset its high-water mark; elsewhere the mark is that of the whole process.
    """

    def reset(self) -> None:
        """Start again, if the system allows it; memory that is only kept for reuse does not count."""
        trim()
        try:
            _REFS.write_text("5")
        except OSError:
            return

    @property
    def bytes(self) -> int | None:
        return _status("VmHWM:") or _maxrss()


def resident() -> int | None:
    """Bytes of this process that are in memory now; None where the system does not say."""
    return _status("VmRSS:")


def _status(name: str) -> int | None:
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _maxrss() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def money(seconds: float | None, price_per_hour: float | None) -> float | None:
    """Price of `seconds` at `price_per_hour`; None where either is unknown."""
    return None if seconds is None or price_per_hour is None else seconds * price_per_hour / 3600


def require_disk(needed: int, free: int, where: str) -> None:
    """Raises `ResourceError` where a run could not keep what it writes."""
    if needed > free:
        raise ResourceError(
            f"the run needs about {needed / 1e9:.1f} GB of disk, {free / 1e9:.1f} GB are free",
            where=where,
            fix="Make room, choose another --output, or leave out full with --rungs zero-shot,few-shot,lora",
        )
