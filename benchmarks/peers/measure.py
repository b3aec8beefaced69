"""Time and memory of one run, the same for every runner; standard library and torch only.

Every runner reads a settings file and prints one line of JSON, made by `report`.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Collection
from importlib.metadata import version
from pathlib import Path
from typing import Any

PLACES = ("model", "data", "adapters", "folder")  # settings that are paths of this machine
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def settings() -> dict[str, Any]:
    """The settings file named on the command line."""
    loaded: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    return loaded


def read_rows(path: str, first: int = 0, count: int | None = None) -> list[dict[str, Any]]:
    """Rows of a workload, `count` of them from `first` on."""
    lines = Path(path).read_text().splitlines()
    return [json.loads(line) for line in lines[first : None if count is None else first + count]]


def training_rows(s: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows that are measured, and the rows after them for the warm-up step."""
    return read_rows(s["data"], 0, s["rows"]), read_rows(s["data"], s["rows"], s["warmup_rows"])


def age() -> float:
    """Seconds since this process began, imports included."""
    began = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began / os.sysconf("SC_CLK_TCK")


def spread(steps: int, looks: int) -> list[int]:
    """At most `looks` step numbers, evenly spread, the last step among them."""
    return sorted({max(1, round(steps * (i + 1) / looks)) for i in range(looks)})


class Looks:
    """Seconds of a training, by the wall clock and of the processor, at some of its steps.

    What is done at a look, such as writing the adapter, does not count.
    """

    def __init__(self, at: Collection[int], keep: Callable[[int], Any] | None = None) -> None:
        """`keep(step)` is called at each look."""
        self.at, self.keep = at, keep
        self.points: list[dict[str, float]] = []
        self._begun: tuple[float, float] | None = None
        self._away = [0.0, 0.0]

    def begin(self) -> None:
        """Training begins; later calls change nothing."""
        self._begun = self._begun or _now()

    def step(self, done: int) -> None:
        """`done` steps are done."""
        if self._begun is None:
            raise RuntimeError("a step is done before training began")
        if done not in self.at:
            return
        now = _now()
        seconds, cpu = (a - b - c for a, b, c in zip(now, self._begun, self._away, strict=True))
        self.points.append({"step": done, "seconds": round(seconds, 3), "cpu_seconds": round(cpu, 3)})
        if self.keep is not None:
            self.keep(done)
            self._away = [a + b - c for a, b, c in zip(self._away, _now(), now, strict=True)]


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


class Memory:
    """Peak resident memory above what was resident when this was made (with the weights loaded), in bytes."""

    def __init__(self, weights: Any = ()) -> None:
        """`weights` are read once, so that memory-mapped ones are resident."""
        for weight in weights:
            weight.detach().view(-1)[::512].sum()
        gc.collect()
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        _CLEAR.write_text("5")  # sets the peak back to what is resident now
        self.start = _status("VmRSS")

    def above(self) -> int:
        return _status("VmHWM") - self.start


def _status(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])


def report(
    s: dict[str, Any],
    *,
    unit: str,
    count: float,
    seconds: float,
    memory: Memory,
    packages: tuple[str, ...],
    **more: Any,
) -> None:
    """Print the result: `count` items of `unit` in `seconds`, and whatever else is to be kept."""
    result = {
        "unit": unit,
        "count": count,
        "seconds": seconds,
        "peak_rss_above_weights": memory.above(),
        "versions": {name: version(name) for name in packages},
        "settings": {key: value for key, value in s.items() if key not in PLACES},
        **more,
    }
    sys.stdout.flush()
    print("\n" + json.dumps(result), flush=True)
