"""What a command leaves on the disk: what of it has to be equal in every run, and whether a file is half."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rung import storage
from rung.errors import ResumeError

# Keys of JSON files that hold times, and sentences that name them.
TIMED = {
    *("started", "finished", "written", "seconds", "train_seconds", "eval_seconds", "answer_seconds"),
    *("peak_memory_bytes", "quote", "mechanisms", "sentence", "reasons", "helps", "notes"),
}
UNEQUAL = {"events.jsonl", "plan.json", "report.html"}  # they hold little else, and every try adds an event


def promised(folder: Path) -> dict[str, Any]:
    """Path in `folder` -> what of it is the same in every run, for all files and folders.

    Of its cache only what stopped writes left counts: nothing is promised to stay there.
    """
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.startswith("cache/") and not path.name.startswith("."):
            continue
        if path.is_dir() or path.name in UNEQUAL:
            found[name] = "there"
        elif path.suffix == ".json":
            found[name] = without_times(json.loads(path.read_text(encoding="utf-8")))
        elif path.suffix == ".safetensors":
            found[name] = tensors(path.read_bytes())
        else:
            found[name] = storage.sha256_file(path)
    return found


def state(folder: Path) -> dict[str, Any]:
    """Path -> content of everything that is there, whole or not, without times."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name, content = (
            named(path.relative_to(folder).as_posix()),
            b"" if path.is_dir() else path.read_bytes(),
        )
        found[name] = storage.sha256_bytes(content)
        with suppress(ValueError):
            if path.name == "events.jsonl":
                *lines, last = content.split(b"\n")
                found[name] = [[json.loads(line)["event"] for line in lines], len(last) > 0]
            elif path.suffix == ".json":
                found[name] = without_times(json.loads(content))
    return found


def named(path: str) -> str:
    """A path without the number of the process that writes it."""
    return re.sub(r"[.][0-9]+[.]tmp", ".N.tmp", path)


def tensors(content: bytes) -> list[Any]:
    """The header of a safetensors file, whose keys are written in any order, and the hash of its numbers."""
    size = struct.unpack("<Q", content[:8])[0]
    return [json.loads(content[8 : 8 + size]), storage.sha256_bytes(content[8 + size :])]


def without_times(value: Any) -> Any:
    """A JSON value without what differs from run to run."""
    if isinstance(value, dict):
        return {key: without_times(one) for key, one in value.items() if key not in TIMED}
    return [without_times(one) for one in value] if isinstance(value, list) else value


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """The paths that are missing, too many or other than they should be."""
    return [
        f"{name} is {'missing' if name not in found else 'left' if name not in wanted else 'different'}"
        for name in sorted(wanted.keys() | found.keys())
        if wanted.get(name) != found.get(name)
    ]


def half_files(folder: Path, outputs: Mapping[str, Any]) -> list[str]:
    """The files that a reader could take for whole ones and that are not.

    Names of stopped writes do not count, nor does the last line of a file that grows. The files called as
    those in `outputs` have to be as they are there.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            whole = (
                outputs[str(name)] == storage.sha256_file(path) if str(name) in outputs else is_whole(path)
            )
            found += [] if whole else [str(name)]
    return found


def is_whole(path: Path) -> bool:
    """Whether a file can be read to its end, by what its name says it is."""
    content = path.read_bytes()
    try:
        if path.name == storage.MANIFEST:
            storage.verify_folder(path.parent)
        elif path.suffix == ".json":
            json.loads(content)
        elif path.suffix in (".jsonl", ".partial"):
            grows = path.name == "events.jsonl" or path.suffix == ".partial"
            lines = content.split(b"\n")
            for line in lines[:-1]:
                json.loads(line[9:] if path.suffix == ".partial" else line)  # behind its checksum
            return grows or lines[-1] == b""
        elif path.suffix == ".safetensors":
            header, _ = tensors(content)
            ends = [one["data_offsets"][1] for key, one in header.items() if key != "__metadata__"]
            size = struct.unpack("<Q", content[:8])[0]
            return len(content) == 8 + int(size) + max(ends, default=0)
        elif path.suffix == ".html":
            return content.rstrip().endswith(b"</html>")
    except (ValueError, KeyError, struct.error, ResumeError):
        return False
    return True
