"""Writes the files of a run: a file or folder is complete or absent, apart from files that grow line by line.

Two things are written without it: the trunk's cache (`rung.train.trunk`) and converted bases (`rung.bases`).

A file is written under another name in the same folder, synced and renamed over the old one. A folder gets
a ``manifest.json`` with the size and sha256 of every file, and is renamed into place as the last step, so a
power cut leaves either nothing or a folder that `verify_folder` accepts. Tests set `fault` to fail or stop at
any single operation.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rung.errors import ResourceError, ResumeError
from rung.plain import NotPlain, open_plain, write_plain
from rung.plain import read_json as read_json
from rung.plain import read_jsonl as read_jsonl
from rung.plain import read_object as read_object

MANIFEST = "manifest.json"
LOCK = "lock.json"  # who uses the run folder; the lock itself is a file of the operating system
_LOCKED = ".lock"
_HALVES = "backslashreplace"  # for half characters, as in names that are not UTF-8; JSON reads these back
fault: Callable[[str, Path], None] | None = None  # called before each operation: (name, path)


def sha256_bytes(data: bytes) -> str:
    """Hex sha256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's content."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(value: Any) -> str:
    """16 hex digits that stand for a JSON value, whatever the order of its keys."""
    return sha256_bytes(json.dumps(value, sort_keys=True, default=str).encode())[:16]


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_file(path: Path, data: bytes | str) -> None:
    """Write a file whole or not at all. Raises `ResourceError` where the disk refuses."""
    raw = data.encode(errors=_HALVES) if isinstance(data, str) else data
    with _replacing(path) as temporary:
        _write_synced(temporary, raw)


def as_json(value: Any) -> bytes:
    """A JSON value, indented for people."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n"
    return text.encode(errors=_HALVES)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON value to a file."""
    write_file(path, as_json(value))


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Write one JSON value a line."""
    write_file(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def write_folder(path: Path, files: Mapping[str, bytes | Callable[[Path], None]]) -> None:
    """Write a folder with a manifest, whole or not at all; a folder that is there is replaced.

    A callable is given the path it has to write. Raises `ResourceError` where the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _explained(path):
        _make_folder(path.parent)
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            _fill_folder(temporary, files)
            _replace_folder(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _sync_folder(path.parent)


def verify_folder(path: Path) -> None:
    """Check a folder against its manifest. Raises `ResumeError` that names the file that differs."""
    try:
        files = read_json(path / MANIFEST)["files"]
        listed = [(name, facts["bytes"], facts["sha256"]) for name, facts in files.items()]
    except (ResumeError, KeyError, TypeError, AttributeError) as error:
        raise ResumeError("the folder has no readable manifest", where=path.name) from error
    for name, size, digest in listed:
        file = path / name
        if not file.is_file() or file.stat().st_size != size or sha256_file(file) != digest:
            raise ResumeError(f"{name} is missing or was changed after it was written", where=path.name)


def newest_folder(parent: Path, prefix: str) -> tuple[Path | None, list[str]]:
    """The folder ``<prefix><number>`` with the highest number that verifies, and notes on those skipped."""
    skipped: list[str] = []
    numbered = sorted(
        (int(folder.name[len(prefix) :]), folder)
        for folder in parent.glob(f"{prefix}*")
        if folder.name[len(prefix) :].isdigit()
    )
    for _, folder in reversed(numbered):
        try:
            verify_folder(folder)
        except ResumeError as error:
            skipped.append(str(error))
        else:
            return folder, skipped
    return None, skipped


class RunFolder:
    """The folder of one run: claimed by a fingerprint of what was asked, used by one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def file(self, *parts: str) -> Path:
        """A path inside the run folder."""
        return self.path.joinpath(*parts)

    def event(self, kind: str, **fields: Any) -> None:
        """Append one line to events.jsonl."""
        line = json.dumps({"time": now(), "event": kind, **fields}, ensure_ascii=False, default=str)
        path = self.file("events.jsonl")
        with _explained(path):
            _step("append", path)
            with write_plain(path, "ab") as file:
                file.write(f"{line}\n".encode(errors=_HALVES))

    @contextmanager
    def claimed(self, mark: str, asked: Mapping[str, Any]) -> Iterator[bool]:
        """Hold the folder for a run with fingerprint `mark`; yields whether the run had begun before.

        A run that fails before it has written anything leaves no folder behind.
        Raises `ResumeError` if the folder belongs to another run, holds other files, or is in use.
        """
        begun = self._check_owner(mark, asked)
        if not begun:
            write_json(self.file("claim.json"), {"fingerprint": mark, "asked": dict(asked)})
        with locked(self.path):
            try:
                yield begun
            except BaseException:
                if not begun and {file.name for file in self.path.iterdir()} <= {"claim.json", LOCK, _LOCKED}:
                    for file in self.path.iterdir():
                        file.unlink()
                    with suppress(OSError):
                        self.path.rmdir()
                raise

    def _check_owner(self, mark: str, asked: Mapping[str, Any]) -> bool:
        claim = self.file("claim.json")
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


def _is_content(path: Path) -> bool:
    """Whether a file is more than a lock, or what a stopped write left behind."""
    return not (path.name == _LOCKED or (path.name.startswith(".") and path.name.endswith(".tmp")))


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A path to write to; what is there becomes `path` when the block ends, and is deleted where it fails."""
    with _replacing(path) as temporary:
        _step("write", path)
        yield temporary
        _sync(temporary)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """The name of a file next to `path` that takes its place when the block ends.

    Raises `ResourceError` where the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _explained(path):
        _make_folder(path.parent)
        try:
            yield temporary
            _step("rename", path)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def append_synced(path: Path, data: bytes) -> None:
    """Add `data` to the end of a file; it is on disk when this returns. Raises `ResourceError`."""
    with _explained(path):
        _step("append", path)
        with write_plain(path, "ab") as file:
            file.write(data)
            file.flush()
            _step("fsync", path)
            os.fsync(file.fileno())


@contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Keep every other process from writing `path`, which may not be there yet.

    Raises `ResumeError` where another process does, `ResourceError` where the disk refuses.
    """
    lock = path.with_name(f".{path.name}.lock")
    _make_folder(path.parent)
    with _locked(lock, f"another process is writing {path.name}", path.parent):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other process out of `folder`, and say in it who does.

    Raises `ResumeError` that says who holds it, `ResourceError` where the disk refuses.
    """
    who = folder / LOCK
    with _locked(folder / _LOCKED, "another process is using the run folder", folder, _holder(who)):
        with _explained(who):
            mine = {"pid": os.getpid(), "host": socket.gethostname(), "since": now()}
            with write_plain(who, "wb") as file:
                file.write(json.dumps(mine).encode())
        try:
            yield
        finally:
            who.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path, what: str, where: Path, why: str = "") -> Iterator[None]:
    """Hold the lock `path`, which the operating system ends with the process."""
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=0)
    with _explained(path):
        _step("lock", path)
        try:
            lock.acquire()
        except Timeout:
            raise ResumeError(what, where=str(where), why=why, fix="Wait for it, or stop it") from None
    try:
        yield
    finally:
        lock.release()


def _holder(who: Path) -> str:
    """Who wrote `who`, as a sentence; "" where that cannot be read."""
    try:
        held = read_object(who, pid=int, host=str, since=str)
    except ResumeError:
        return ""
    return f"Process {held['pid']} on {held['host'][:60]} has held it since {held['since'][:60]}"


def free_bytes(path: Path) -> int:
    """Free disk space where `path` is or will be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _fill_folder(folder: Path, files: Mapping[str, bytes | Callable[[Path], None]]) -> None:
    _make_folder(folder)
    listed = {}
    for name, content in files.items():
        target = folder / name
        _make_folder(target.parent)
        if callable(content):
            _step("write", target)
            content(target)
            _sync(target)
        else:
            _write_synced(target, content)
        listed[name] = {"bytes": target.stat().st_size, "sha256": sha256_file(target)}
    manifest = {"schema": 1, "written": now(), "files": listed}
    _write_synced(folder / MANIFEST, json.dumps(manifest, indent=2).encode())
    _sync_folder(folder)


def _replace_folder(temporary: Path, path: Path) -> None:
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        _step("rename", old)
        path.replace(old)
    try:
        _step("rename", path)
        temporary.replace(path)
    except BaseException:
        if old.exists():
            old.replace(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _write_synced(path: Path, data: bytes) -> None:
    _step("open", path)
    with path.open("wb") as file:
        _step("write", path)
        file.write(data)
        file.flush()
        _step("fsync", path)
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    _step("fsync", path)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make_folder(path: Path) -> None:
    if not path.is_dir():
        _step("mkdir", path)
        path.mkdir(parents=True, exist_ok=True)


def _step(name: str, path: Path) -> None:
    if fault is not None:
        fault(name, path)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except NotPlain as error:
        fix = "Delete it and run the same command again"
        raise ResumeError(f"cannot write: {error.strerror}", where=str(path), fix=fix) from error
    except OSError as error:
        raise ResourceError(
            f"cannot write: {error.strerror or error}",
            where=str(path),
            fix="Make room or choose another --output, then run the same command again; finished work stays",
        ) from error
