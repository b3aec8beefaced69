"""The machine that a run was made on, for its record. Imports no torch."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

from rung import __version__, threads

_MEMINFO, _GROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
_LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "scipy", "sacrebleu", "numpy")


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


def versions() -> dict[str, str]:
    """Versions of rung, Python and the libraries that decide numbers."""
    libraries = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"rung": __version__, "python": platform.python_version()} | libraries


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def free_memory(meminfo: Path = _MEMINFO, group: Path = _GROUP) -> int | None:
    """Bytes that this process may still take: what is free on the machine, and in its container (cgroup v2).

    None where the system does not say. What is only kept to read files faster counts as free.
    """
    free = _fields(meminfo, ":").get("MemAvailable")
    found = [] if free is None else [free * 1024]
    limit, stat = _number(group / "memory.max"), _fields(group / "memory.stat", " ")
    held = _number(group / "memory.current")
    if limit is not None and held is not None:
        kept = stat.get("file", 0) - stat.get("shmem", 0)
        found.append(max(0, limit - held + kept))
    return min(found, default=None)


def _memory(group: Path = _GROUP) -> int:
    """Bytes of the machine, or those that a container may use of them."""
    try:
        all_of_it = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
    return min(all_of_it, _number(group / "memory.max") or all_of_it)


def _number(path: Path) -> int | None:
    """The number in a file; None where there is none, as for a limit that reads ``max``."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _fields(path: Path, after: str) -> dict[str, int]:
    """Name -> number, of lines such as ``name: 12 kB``."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return {}
    pairs = (line.split(after, 1) for line in lines if after in line)
    return {name: int(rest.split()[0]) for name, rest in pairs if rest.split()[0].isdigit()}
