"""How many threads compute, and how they wait for each other, on a machine that runs other processes too.

An operation of torch ends when its slowest thread ends. If another process takes one of two cores, the thread
on that core is often interrupted in the middle of its part while the other one spins: two threads are then
several times slower than one. So the thread count follows the cores that are free, second by second, where
that cannot change a result; and a waiting thread stops spinning sooner than by default. Nothing here imports
torch before it is needed. Measurements are in docs/performance.md.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path

WAITING = {
    "GOMP_SPINCOUNT": "10000",  # GNU's OpenMP, torch's own on Linux: rounds; 300,000 by default
    "KMP_BLOCKTIME": "1",  # Intel's and LLVM's: milliseconds; 200 by default
}
_OWN = ("OMP_WAIT_POLICY", "KMP_LIBRARY", *WAITING)
EVERY = 1.0  # seconds between two readings
TOLERATED = 0.25  # cores that others may take before a thread makes room
FREE = 0.15  # cores that others may still take where a thread comes back
CALM = 5  # readings in a row that must find a free core before it does
QUIET = 30.0  # seconds between two lines on the screen


def wait_briefly(environ: MutableMapping[str, str] = os.environ, loaded: bool | None = None) -> str:
    """Let waiting threads sleep sooner, from before torch is `loaded` on; returns what holds, in words.

    OpenMP reads these variables once, when it is loaded. What the user has set stays.
    """
    theirs = [f"{name}={environ[name]}" for name in _OWN if name in environ]
    if theirs:
        return f"{', '.join(theirs)}, from the environment"
    if "torch" in sys.modules if loaded is None else loaded:
        return "OpenMP's default: torch was imported before rung"
    environ.update(WAITING)
    return ", ".join(f"{name}={value}" for name, value in WAITING.items())


@dataclass(frozen=True, slots=True)
class Seen:
    """The machine at a moment. Times in seconds, of the cores this process may use, since some moment."""

    at: float  # by the clock
    own: float  # processor time of this process
    all: float  # processor time of all processes
    cores: int


def look() -> Seen | None:
    """What Linux counts; None on another system.

    What a hypervisor takes counts as used, and so does a process of low priority: whenever our threads wait
    for each other, it gets their core.
    """
    try:
        allowed = os.sched_getaffinity(0)
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
        return _seen(lines, allowed, time.monotonic(), time.process_time())
    except (AttributeError, OSError, ValueError):
        return None


def _seen(lines: list[str], allowed: set[int], at: float, own: float) -> Seen:
    """The lines ``cpuN user nice system idle iowait irq softirq steal ...`` of proc(5), in ticks."""
    ticks = 0
    for line in lines:
        name, *fields = line.split()
        if name[:3] == "cpu" and name[3:].isdecimal() and int(name[3:]) in allowed:
            user, nice, system, _, _, irq, softirq, steal = map(int, fields[:8])
            ticks += user + nice + system + irq + softirq + steal
    return Seen(at, own, ticks / os.sysconf("SC_CLK_TCK"), len(allowed))


def taken(before: Seen, now: Seen) -> float:
    """How many cores others used between two readings, on average."""
    others = (now.all - before.all) - (now.own - before.own)
    return max(0.0, others / max(now.at - before.at, 1e-9))


class Follower:
    """How many threads fit next to other processes. It only decides, and uses neither torch nor a clock.

    One reading is enough to lower the count; `CALM` readings in a row with a free core raise it again.
    """

    def __init__(self, most: int, seen: Seen, threads: int | None = None) -> None:
        self.most = most
        self.threads = threads or most
        self.others = 0.0  # cores that others took at the last look
        self._before = seen
        self._room: list[int] = []  # threads that the last readings had cores for, where more than there are

    def follow(self, now: Seen) -> int:
        """The number of threads from now on, at least 1."""
        self.others = taken(self._before, now)
        self._before = now
        free = now.cores - self.others
        fit, more = (max(1, min(self.most, int(free + slack))) for slack in (TOLERATED, FREE))
        if fit < self.threads:
            self.threads, self._room = fit, []
        elif more > self.threads:
            self._room.append(more)
            if len(self._room) == CALM:
                self.threads, self._room = min(self._room), []
        else:
            self._room = []
        return self.threads

    @property
    def reason(self) -> str:
        """The count and why, for the screen."""
        if self.threads == self.most:
            return f"{counted(self.threads)} again: the cores are free"
        used = f"other processes use {self.others:.1f} of {self._before.cores} cores"
        return f"{counted(self.threads)} instead of {self.most}: {used}"


class Threads:
    """The threads that torch computes with in this process: a fixed number, or one that follows."""

    def __init__(
        self,
        get: Callable[[], int],
        put: Callable[[int], None],
        look: Callable[[], Seen | None] = look,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._get, self._put, self._look, self._clock, self._sleep = get, put, look, clock, sleep
        self._most = 0  # as torch or the user set it; 0 until it is first used
        self._ours = 0  # what was set here last
        self._follower: Follower | None = None
        self._next = 0.0  # when to look again
        self._say: Callable[[str], None] | None = None
        self._said, self._said_at = 0, -QUIET
        self._least = 0

    def fix(self, count: int) -> None:
        """Exactly `count` threads from now on."""
        self._begin()
        self._set(count)

    def fit(self) -> str:
        """As many threads as the others leave cores for at this moment; returns why there are fewer, or "".

        Looks at the machine for a quarter of a second, where there is a choice.
        """
        self._begin()
        count, reason = self._most, ""
        if self._most > 1 and (before := self._look()) is not None:
            self._sleep(EVERY / 4)
            follower = Follower(self._most, before)
            if (now := self._look()) is not None and follower.follow(now) < count:
                count, reason = follower.threads, follower.reason
        self._set(count)
        return reason

    def follow(self) -> None:
        """Let the count follow what the others leave, from what `fit` chose on."""
        if self._most > 1 and (seen := self._look()) is not None:
            self._follower = Follower(self._most, seen, self._ours)
            self._said = self._least = self._ours
            self._next = self._clock() + EVERY

    def pace(self) -> None:
        """Look again, where a second has passed. Costs well under a microsecond where none has."""
        if self._follower is None or self._clock() < self._next:
            return
        seen = self._look()
        if seen is not None and self._follower.follow(seen) != self._ours:
            self._set(self._follower.threads)
            self._least = min(self._least, self._ours)
        self._next = self._clock() + EVERY
        if self._ours != self._said and self._say and self._next - self._said_at >= QUIET:
            self._said, self._said_at = self._ours, self._next
            self._say(self._follower.reason)

    def tell(self, say: Callable[[str], None]) -> None:
        """Where changes of the count are said from now on, at most every `QUIET` seconds."""
        self._say, self._said_at = say, -QUIET

    def describe(self) -> dict[str, str | int]:
        """For the record of a machine."""
        if self._follower is None:
            return {"threads": self._get()}
        least = f", {self._least} at the lowest so far" if self._least < self._most else ""
        return {"threads": self._get(), "threads_follow": f"at most {self._most}{least}"}

    def _begin(self) -> None:
        """Stop following; a count that was not set here is the user's or torch's, and so the most."""
        self._follower = None
        if self._get() != self._ours:
            self._most = min(self._get(), quota() or self._get())

    def _set(self, count: int) -> None:
        if count != self._get():
            self._put(count)
        self._ours = count


def counted(count: int) -> str:
    return f"{count} thread{'' if count == 1 else 's'}"


def quota(path: Path = Path("/sys/fs/cgroup/cpu.max")) -> int | None:
    """Whole cores that a container may use at a time; None where there is no such limit.

    torch counts the cores of the machine instead.
    """
    try:
        most, period = path.read_text(encoding="ascii").split()
        return max(1, int(most) // int(period))
    except (OSError, ValueError):
        return None


def _count() -> int:
    import torch

    return torch.get_num_threads()


def _put(count: int) -> None:
    import torch

    torch.set_num_threads(count)


waiting = wait_briefly()
_here = Threads(_count, _put)
fix, fit, follow, pace, tell = _here.fix, _here.fit, _here.follow, _here.pace, _here.tell


def describe() -> dict[str, str | int]:
    """Threads and waiting, for the record of a machine."""
    return {**_here.describe(), "waiting": waiting}
