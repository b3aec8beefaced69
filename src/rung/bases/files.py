"""The files of a model folder, read with care: plain files inside the folder, small enough, strict JSON."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from rung.errors import BaseModelError
from rung.strict import strict_decoder

JSON_BYTES = 64 << 20
JSON_DEPTH = 64
_READ_WHOLE = {".json", ".jinja", ".txt", ".model", ".tiktoken"}  # what libraries read into memory
_TEMPLATES = "additional_chat_templates"  # the one folder below that transformers reads
_COPY = "Copy the file from the original again"
SOURCE = "source.json"  # where a converted folder came from
Json = dict[str, Any]


class _Twice(ValueError):
    """A key is given twice."""


_DECODER = strict_decoder(lambda what, fix: _Twice(what), parse_constant=float)


def refuse(path: Path, what: str, *, why: str = "", fix: str = "") -> NoReturn:
    """Raises `BaseModelError` that names the file, or the folder, but not where it lies."""
    where = f"{path.parent.name}/{path.name}" if path.suffix and not os.path.isdir(path) else path.name
    raise BaseModelError(what, where=where, why=why, fix=fix)


def check_files(folder: Path) -> None:
    """Every file lies inside the folder, or inside the same repository of the hub's cache.

    What a library would read whole is a plain file and not too large. Raises `BaseModelError`.
    """
    home = Path(os.path.realpath(folder))
    hub = next((parent for parent in home.parents if parent.name.startswith("models--")), None)
    entries = list(home.iterdir())
    if (home / _TEMPLATES).is_dir():
        entries += (home / _TEMPLATES).iterdir()
    for entry in entries:
        if entry.is_symlink():
            _check_link(entry, home, hub)
        if entry.suffix.lower() not in _READ_WHOLE:
            continue
        if not entry.is_file():
            refuse(entry, "is not a plain file", fix="Replace it by the file of the original, or delete it")
        if entry.stat().st_size > JSON_BYTES:
            refuse(entry, f"larger than {JSON_BYTES >> 20} MB", fix=_COPY)


def _check_link(entry: Path, home: Path, hub: Path | None) -> None:
    target = Path(os.path.realpath(entry))  # of a link in a circle: itself
    if not target.is_relative_to(home) and not (hub and target.is_relative_to(hub)):
        refuse(entry, "is a link to a file outside the folder", fix="Replace the link by the file itself")
    if not os.path.exists(target):
        refuse(
            entry, "is a link to a file that is not there", fix="Replace the link by the file, or delete it"
        )


def read_json(path: Path) -> Json:
    """A small JSON object, in which no key is given twice. Raises `BaseModelError`.

    NaN and Infinity are read, as transformers does: what may be infinite depends on the key.
    """
    if not path.is_file():
        refuse(
            path,
            "no such file",
            why="A base is a folder with config.json, safetensors and a tokenizer",
            fix=_COPY,
        )
    if path.stat().st_size > JSON_BYTES:
        refuse(path, f"larger than {JSON_BYTES >> 20} MB", fix=_COPY)
    try:
        value = _DECODER.decode(path.read_text(encoding="utf-8"))
    except _Twice as error:
        refuse(path, str(error), fix=_COPY)
    except RecursionError:
        refuse(path, "nested too deeply", fix=_COPY)
    except ValueError as error:
        refuse(path, f"not JSON: {error}", fix=_COPY)
    if not isinstance(value, dict):
        refuse(path, "not a JSON object", fix=_COPY)
    if any(depth > JSON_DEPTH for depth, _, _ in walk(value)):
        refuse(path, "nested too deeply", fix=_COPY)
    return value


def walk(value: Any) -> Iterator[tuple[int, str, Any]]:
    """(depth, key, value) of everything in a JSON value; items of a list have the list's key."""
    todo: list[tuple[int, str, Any]] = [(0, "", value)]
    while todo:
        depth, key, item = todo.pop()
        yield depth, key, item
        if isinstance(item, dict):
            todo += [(depth + 1, name, inner) for name, inner in item.items()]
        elif isinstance(item, list):
            todo += [(depth + 1, key, inner) for inner in item]


def source_of(folder: Path) -> Json:
    """What ``source.json`` says of where a converted folder came from; empty where it says nothing."""
    try:
        return read_json(folder / SOURCE)
    except (BaseModelError, OSError):
        return {}
