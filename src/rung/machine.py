"""The machine that a run was made on, for its record. Imports no torch."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

from rung import threads


def describe() -> dict[str, str | int]:
    """The machine in words, without its name; with torch's threads and GPU where torch has been imported."""
    facts: dict[str, str | int] = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "memory_bytes": _memory(),
    }
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        facts |= threads.describe()
        if torch.cuda.is_available():
            facts["gpu"] = torch.cuda.get_device_name()
    return facts


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
