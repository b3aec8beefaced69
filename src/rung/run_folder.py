"""The folder of one run: who it belongs to, which process uses it, and its log of events."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rung import storage
from rung.errors import ResumeError
from rung.plain import open_plain, read_object

CLAIM = "claim.json"  # whose folder it is
LOCK = "lock.json"  # who uses it; the lock itself is a file of the operating system
_LOCKED = ".lock"


class RunFolder:
    """The folder of one run: claimed by a fingerprint of what was asked, used by one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def file(self, *parts: str) -> Path:
        """A path inside the run folder."""
        return self.path.joinpath(*parts)

    def event(self, kind: str, **fields: Any) -> None:
        """Append one line to events.jsonl; what a stop left half written is cut off first."""
        path = self.file("events.jsonl")
        value = {"time": storage.now(), "event": kind, **fields}
        line = json.dumps(value, ensure_ascii=False, default=str) + "\n"
        with storage.explained(path):
            if path.exists():
                with open_plain(path) as file:
                    whole = file.read().rfind(b"\n") + 1
                storage.truncate(path, whole)
        storage.append(path, line.encode(errors=storage.HALVES))

    @contextmanager
    def claimed(self, mark: str, asked: Mapping[str, Any]) -> Iterator[bool]:
        """Hold the folder for a run with fingerprint `mark`; yields whether the run had begun before.

        A run that fails before it has written anything leaves no folder behind.
        Raises `ResumeError` if the folder belongs to another run, holds other files, or is in use.
        """
        self._check_owner(mark, asked)  # before anything is written to a folder that may be somebody else's
        with storage.explained(self.path):
            storage.make_folder(self.path)
        with storage.locked(
            self.file(_LOCKED), "another process is using the run folder", self.path, self._holder
        ):
            begun = self._check_owner(mark, asked)  # once more: now nobody else can claim it
            try:
                storage.sweep_folder(self.path)
                if not begun:
                    storage.write_json(self.file(CLAIM), {"fingerprint": mark, "asked": dict(asked)})
                mine = {"pid": os.getpid(), "host": socket.gethostname(), "since": storage.now()}
                storage.write_json(self.file(LOCK), mine)
                yield begun
            except BaseException:
                if not begun:
                    self._leave()
                raise
            finally:
                storage.remove(self.file(LOCK))

    def _check_owner(self, mark: str, asked: Mapping[str, Any]) -> bool:
        """Whether the run has begun; raises `ResumeError` where the folder is not for it."""
        claim = self.file(CLAIM)
        if not claim.exists():
            if self.path.exists() and (not self.path.is_dir() or any(map(_is_content, self.path.iterdir()))):
                raise ResumeError(
                    "the output folder holds other files", where=str(self.path), fix="Give another --output"
                )
            return False
        was = read_object(claim, fingerprint=str, asked=dict)
        if was["fingerprint"] == mark:
            return True
        before, after = was["asked"], json.loads(json.dumps(dict(asked), default=str))
        changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
        raise ResumeError(
            "the output folder belongs to another run",
            where=str(self.path),
            why=f"It was started with other values of: {', '.join(changed) or 'rung itself'}",
            fix="Give another --output, or delete the folder",
        )

    def _leave(self) -> None:
        """Delete the folder if the run has written nothing to it."""
        with suppress(OSError):
            files = list(self.path.iterdir())
            if {file.name for file in files} <= {CLAIM, LOCK, _LOCKED}:
                for file in files:
                    storage.remove(file)
                self.path.rmdir()

    def _holder(self) -> str:
        """Who uses the folder, as a sentence; "" where that cannot be read."""
        try:
            held = read_object(self.file(LOCK), pid=int, host=str, since=str)
        except ResumeError:
            return ""
        return f"Process {held['pid']} on {held['host'][:60]} has held it since {held['since'][:60]}"


def _is_content(path: Path) -> bool:
    """Whether a file is more than a lock, or what a stopped write left behind."""
    return not (path.name == _LOCKED or (path.name.startswith(".") and path.name.endswith(".tmp")))
