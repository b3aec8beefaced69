"""Let any single storage operation fail or stop."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from rung import storage


class Stop(BaseException):
    """Stands for Ctrl-C at the worst moment."""


def fail_at(number: int, error: BaseException) -> list[str]:
    """Let the `number`-th storage operation (from 1) fail; returns the list of operations seen so far."""
    seen: list[str] = []

    def fault(name: str, path: Path) -> None:
        seen.append(name)
        if len(seen) == number:
            raise error

    storage.fault = fault
    return seen


def no_space() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def count_operations(act: Callable[[], None]) -> int:
    seen = fail_at(-1, Stop())
    act()
    storage.fault = None
    assert seen
    return len(seen)
