"""Writes the files of a run: a file or folder is complete or absent, apart from files that grow line by line.

One thing is written without it: converted bases, until they are moved to their place (`rung.bases`).

A file is written under another name in the same folder, synced and renamed over the old one. A folder gets
a ``manifest.json`` with the size and sha256 of every file, and is renamed into place as the last step, so a
power cut leaves either nothing or a folder that `verify_folder` accepts. What a stopped write leaves has a
name that begins with a dot and ends in ``.tmp`` or ``.old``; `sweep` and `sweep_folder` delete it. Everything
that changes the disk is a `step`, so that tests can fail or stop it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import time
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
HALVES = "backslashreplace"  # for half characters, as in names that are not UTF-8; JSON reads these back
STALE_SECONDS = 3600.0  # after which nobody writes to a temporary file any more that has not grown
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
fault: Callable[[str, Path], None] | None = None  # called before each operation: (name, path)
after: Callable[[str, Path], None] | None = None  # called after each operation that succeeded


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
    raw = data.encode(errors=HALVES) if isinstance(data, str) else data
    with _replacing(path) as temporary:
        _write_synced(temporary, raw)


def as_json(value: Any) -> bytes:
    """A JSON value, indented for people."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n"
    return text.encode(errors=HALVES)


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
    with explained(path):
        make_folder(path.parent)
        remove(temporary)
        try:
            _fill_folder(temporary, files)
            _replace_folder(temporary, path)
        except BaseException:
            remove(temporary)
            raise
        _sync_folder(path.parent)


def verify_folder(path: Path) -> None:
    """Check a folder against its manifest. Raises `ResumeError` that names the file that differs."""
    try:
        files = read_json(path / MANIFEST)["files"]
        listed = [(name, facts["bytes"], facts["sha256"]) for name, facts in files.items()]
    except (ResumeError, KeyError, TypeError, AttributeError) as error:
        why = error.what if isinstance(error, ResumeError) else "It lists no files with their hashes"
        raise ResumeError("the folder has no readable manifest", where=path.name, why=why) from error
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


@contextmanager
def new_file(path: Path, size: int = 0) -> Iterator[Path]:
    """A path to write to; what is there becomes `path` when the block ends, and is deleted where it fails.

    `size` bytes are reserved for it, so that a full disk is an error before they are written. Raises
    `ResourceError` where the disk refuses.
    """
    with _replacing(path) as temporary:
        with step("write", temporary):
            if size:
                _reserve(temporary, size)
            yield temporary
        _sync(temporary)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """The name of a file next to `path` that takes its place when the block ends.

    Raises `ResourceError` where the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with explained(path):
        make_folder(path.parent)
        sweep(path, STALE_SECONDS)
        try:
            yield temporary
            with step("rename", path):
                temporary.replace(path)
        except BaseException:
            remove(temporary)
            raise
        _sync_folder(path.parent)


def append(path: Path, data: bytes, *, sync: bool = False) -> None:
    """Add `data` to the end of a file; `sync`: it is on disk when this returns. Raises `ResourceError`."""
    with explained(path):
        with step("append", path), write_plain(path, "ab") as file:
            file.write(data)
        if sync:
            _sync(path)


def truncate(path: Path, size: int) -> None:
    """Keep the first `size` bytes of a file. Raises `ResourceError`."""
    with explained(path):
        if path.stat().st_size != size:
            with step("truncate", path):
                os.truncate(path, size)


def delete(path: Path) -> None:
    """Delete a file that must not be there any more. Raises `ResourceError`."""
    with explained(path), step("unlink", path):
        path.unlink()


def remove(path: Path) -> None:
    """Delete a file or folder that nobody needs; where the disk refuses, it stays.

    A folder loses its name first, so that one that is half deleted is not taken for a whole one.
    """
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
            gone = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            with step("rename", gone):
                path.replace(gone)
            path = gone
        _remove(path)


def sweep(path: Path, seconds: float = 0.0) -> None:
    """Delete what stopped writes of the file `path` left, where it has not grown for so many `seconds`.

    With none no other process may be writing `path`.
    """
    left = re.compile(rf"\.{re.escape(path.name)}\.\d+\.tmp")
    for other in path.parent.iterdir():
        if left.fullmatch(other.name) and not _younger(other, seconds):
            remove(other)


def sweep_folder(folder: Path) -> None:
    """Delete all that stopped writes left in `folder` and below; no other process may be writing there."""
    for pattern in (".*.tmp", ".*.old"):
        for left in sorted(folder.rglob(pattern)):
            remove(left)


@contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Keep every other process from writing `path`, which may not be there yet.

    Raises `ResumeError` where another process does, `ResourceError` where the disk refuses.
    """
    lock = path.with_name(f".{path.name}.lock")
    with explained(lock):
        make_folder(path.parent)
    with locked(lock, f"another process is writing {path.name}", path.parent):
        try:
            yield
        finally:
            remove(lock)


@contextmanager
def locked(path: Path, what: str, where: Path, why: Callable[[], str] = str) -> Iterator[None]:
    """Hold the lock `path`, which the operating system ends with the process.

    Raises `ResumeError` that says `what`, `where` and `why` where another process holds it, `ResourceError`
    where the disk refuses.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=0)
    with explained(path), step("lock", path):
        try:
            lock.acquire()
        except Timeout:
            raise ResumeError(what, where=str(where), why=why(), fix="Wait for it, or stop it") from None
    try:
        yield
    finally:
        lock.release()


def free_bytes(path: Path) -> int:
    """Free disk space where `path` is or will be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def make_folder(path: Path) -> None:
    """Make a folder and those above it, if they are not there; their names are on disk when this returns."""
    if not path.is_dir():
        if path.exists():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        make_folder(path.parent)
        with step("mkdir", path):
            path.mkdir(exist_ok=True)
        _sync_folder(path.parent)


@contextmanager
def step(name: str, path: Path) -> Iterator[None]:
    """One operation on the disk, which tests can fail or stop."""
    if fault is not None:
        fault(name, path)
    yield
    if after is not None:
        after(name, path)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns what the system says about writing `path` into a `ResourceError`.

    `ResumeError` where something else than a plain file is there.
    """
    try:
        yield
    except NotPlain as error:
        fix = "Delete it and run the same command again"
        raise ResumeError(f"cannot write: {error.strerror}", where=str(path), fix=fix) from error
    except OSError as error:
        first = "Make room" if error.errno in _FULL else "Check the disk and the permissions"
        raise ResourceError(
            f"cannot write: {error.strerror or error}",
            where=str(path),
            fix=f"{first} or choose another --output, then run the same command again; finished work stays",
        ) from error


def _fill_folder(folder: Path, files: Mapping[str, bytes | Callable[[Path], None]]) -> None:
    make_folder(folder)
    listed = {}
    for name, content in files.items():
        target = folder / name
        make_folder(target.parent)
        if callable(content):
            with step("write", target):
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
    remove(old)
    if path.exists():
        with step("rename", old):
            path.replace(old)
    try:
        with step("rename", path):
            temporary.replace(path)
    except BaseException:
        if old.exists():
            old.replace(path)
        raise
    remove(old)


def _write_synced(path: Path, data: bytes) -> None:
    with step("open", path):
        file = path.open("wb")
    with file:
        with step("write", path):
            file.write(data)
            file.flush()
        with step("fsync", path):
            os.fsync(file.fileno())


def _sync(path: Path) -> None:
    with path.open("rb") as file, step("fsync", path):
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        with step("fsync", path):
            os.fsync(handle)
    finally:
        os.close(handle)


def _reserve(path: Path, size: int) -> None:
    """A file of `size` bytes that are set aside on the disk, where the system can do that."""
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        for inner in sorted(path.iterdir()):
            _remove(inner)
        with step("rmdir", path):
            path.rmdir()
    elif os.path.lexists(path):
        with step("unlink", path):
            path.unlink()


def _younger(path: Path, seconds: float) -> bool:
    try:
        return time.time() - path.stat().st_mtime < seconds
    except OSError:  # it is gone
        return True
