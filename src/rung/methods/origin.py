"""What an adapter's folder says about itself: that it is unchanged, for which base it is, and for which task.

An adapter answers as trained only on its own base and with the chat template it was trained with. rung's own
folders hold fingerprints of both in ``rung.json``. A folder from elsewhere gives the name of its base, which
can only be compared as a name, and may hold a chat template, which is compared as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os.path import lexists, realpath
from pathlib import Path
from typing import Any

from rung import storage
from rung.errors import AdapterError, ResumeError
from rung.records import Task, from_json
from rung.strict import strict_decoder

CONFIG = "adapter_config.json"
OURS = "rung.json"
ANSWER_BY = "answer_by"  # in rung.json: how the model answers, as the ladder chose it
PASSAGES = "passages"  # in rung.json: how many the rows had in training, where it was with retrieval
LABELS = "labels.json"  # names of the labels of a head, as transformers' configurations hold them
COPY = "Copy the adapter again from where it comes from"
COPY_OURS = "Copy the adapter again from where it was made"
_TEXTS = {".md", ".txt", ""}  # documentation, licences
_DECODER = strict_decoder(lambda what, fix: ValueError(f"it {what}"))
JSON_BYTES = 64 << 20
_BASE = "base_model_name_or_path"
_OTHER_TEMPLATE = "the adapter was trained with another chat template than this base has"


@dataclass(frozen=True, slots=True)
class Home:
    """The base that an adapter is put on."""

    name: str
    fingerprint: str
    template: str  # source of the chat template in use
    template_fingerprint: str
    catalog: frozenset[str] = frozenset()  # names that mean one base and no other
    bits: int | None = None  # that hold a weight; None: as many as its number format has


@dataclass(frozen=True, slots=True)
class Origin:
    """What an adapter's folder says about itself; `warnings` are lines for the user."""

    task: Task | None = None  # what it was trained for
    warnings: tuple[str, ...] = ()
    answer_by: Mapping[str, Any] | None = None  # see `ANSWER_BY`; None where it writes
    passages: int = 0  # see `PASSAGES`


def verify(folder: Path) -> None:
    """Check a folder that rung wrote against its manifest: no file was changed, removed or added.

    Hidden files and documentation may be added. Raises `AdapterError` that names the file.
    """
    if not lexists(folder / storage.MANIFEST):
        if lexists(folder / OURS):
            raise AdapterError(
                f"{storage.MANIFEST} is missing, so it cannot be told whether the adapter was changed",
                where=str(folder),
                fix=f"{COPY_OURS}; to use it unchecked, take {OURS} out of the folder",
            )
        return
    listed = read_json(folder, storage.MANIFEST).get("files")
    try:
        storage.verify_folder(folder)
    except ResumeError as error:
        fix = COPY_OURS
        if not lexists(folder / OURS):
            fix += f"; if it does not come from rung, take {storage.MANIFEST} out of the folder"
        raise AdapterError(error.what, where=str(folder), fix=fix) from error
    known = {storage.MANIFEST, *(listed if isinstance(listed, dict) else ())}
    for file in sorted(folder.iterdir()):
        if file.name not in known and not file.name.startswith(".") and file.suffix.lower() not in _TEXTS:
            raise AdapterError(
                f"{file.name} was added after the adapter was written",
                where=str(folder),
                fix=f"Delete it, or: {COPY_OURS[:1].lower()}{COPY_OURS[1:]}",
            )


def read_origin(folder: Path, home: Home) -> Origin:
    """What the folder says about its origin. Raises `AdapterError` if it is not for `home`."""
    ours = read_json(folder, OURS) if lexists(folder / OURS) else {}
    _check_template(folder, ours, home)
    made_for = ours.get("base_fingerprint")
    if made_for not in (None, home.fingerprint):
        raise _other_base(folder, str(ours.get("base", "unknown")), home.name)
    warnings = (_compare_bits(ours, home) if ours else "", "" if made_for else _compare_names(folder, home))
    by, passages = ours.get(ANSWER_BY), ours.get(PASSAGES)
    return Origin(
        _kept_task(folder, ours),
        tuple(filter(None, warnings)),
        by if isinstance(by, dict) else None,
        passages if type(passages) is int else 0,
    )


def _compare_bits(ours: Mapping[str, Any], home: Home) -> str:
    """A line for the user where the adapter was trained over weights that are rounded in another way."""
    there = ours.get("bits") if type(ours.get("bits")) is int else None
    if there == home.bits:
        return ""
    trained, used = ("in full" if bits is None else f"in {bits} bits" for bits in (there, home.bits))
    fix = "leave --bits out" if there is None else f"give --bits {there}"
    return (
        f"the adapter was trained over the base's weights {trained}, and here they are held {used}: its "
        f"answers may be others; {fix} for those that were measured"
    )


def _compare_names(folder: Path, home: Home) -> str:
    """A warning where the names of the two bases differ. Raises `AdapterError` where the bases must."""
    named = read_json(folder, CONFIG).get(_BASE)
    if not isinstance(named, str) or not named.strip():
        return f"the adapter does not say which base it was made for; it is used on {home.name!r}"
    there, here = _last_name(named), _last_name(home.name)
    if there == here:
        return ""
    if there in home.catalog and (named in home.catalog or here in home.catalog):
        raise _other_base(folder, named, home.name)
    return (
        f"the adapter says that it was made for {named!r}, and it is used on {home.name!r}: "
        "if these are different bases, its answers are meaningless"
    )


def _last_name(name: str) -> str:
    """``smollm2-135m`` of ``Owner/SmolLM2-135M@main``, and of paths to it."""
    parts = [part for part in name.replace("\\", "/").split("/") if part]
    hub = next((part for part in parts if part.startswith("models--")), "")
    last = hub.rsplit("--", 1)[-1] if hub else parts[-1] if parts else name
    return last.partition("@")[0].casefold()


def _other_base(folder: Path, named: str, here: str) -> AdapterError:
    return AdapterError(
        f"the adapter was made for another base: {named}",
        where=str(folder),
        why=f"The base here is {here}",
        fix="Give that base with --base",
    )


def _check_template(folder: Path, ours: Mapping[str, Any], home: Home) -> None:
    said = ours.get("template_fingerprint")
    own = _own_template(folder) if said is None else None
    if said in (None, home.template_fingerprint) and (own is None or _same_text(own, home.template)):
        return
    raise AdapterError(
        _OTHER_TEMPLATE,
        where=str(folder),
        fix="Give the base it was trained on, with that template, as --base",
    )


def _own_template(folder: Path) -> str | None:
    """The chat template that lies in the folder, where transformers writes it."""
    if lexists(folder / "chat_template.jinja"):
        return _read_text(folder, "chat_template.jinja")
    if not lexists(folder / "tokenizer_config.json"):
        return None
    found = read_json(folder, "tokenizer_config.json").get("chat_template")
    if isinstance(found, list):  # several templates, by name
        named = [one for one in found if isinstance(one, dict) and one.get("name") == "default"]
        found = named[0].get("template") if named else None
    return found if isinstance(found, str) else None


def _same_text(first: str, second: str) -> bool:
    """Whether two templates are the same to Jinja, which reads every line end as one and drops the last."""
    one, two = (text.replace("\r\n", "\n").removesuffix("\n") for text in (first, second))
    return one == two


def _kept_task(folder: Path, ours: Mapping[str, Any]) -> Task | None:
    if ours.get("task") is None:
        return None
    try:
        return from_json(Task, ours["task"], OURS)
    except ResumeError as error:
        raise AdapterError(error.what, where=f"{folder}/{OURS}", fix=COPY_OURS) from error


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A small JSON object of the folder, in which no key is given twice. Raises `AdapterError`."""
    text = _read_text(folder, name)
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise AdapterError(f"{name} cannot be read: {error}", where=str(folder), fix=COPY) from error
    if not isinstance(value, dict):
        raise AdapterError(f"{name} is not a JSON object", where=str(folder), fix=COPY)
    return value


def _read_text(folder: Path, name: str) -> str:
    path = folder / name
    require_inside(folder, path)
    if not path.is_file():
        raise AdapterError(f"{name} is not a file that can be read", where=str(folder), fix=COPY)
    try:
        if path.stat().st_size > JSON_BYTES:
            raise AdapterError(f"{name} is larger than {JSON_BYTES >> 20} MB", where=str(folder), fix=COPY)
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise AdapterError(f"{name} cannot be read: {error}", where=str(folder), fix=COPY) from error


def require_inside(folder: Path, path: Path) -> None:
    """Raises `AdapterError` where `path` is a link out of the folder."""
    if path.is_symlink() and Path(realpath(folder)) not in Path(realpath(path)).parents:
        raise AdapterError(
            f"{path.name} is a link that leaves the folder",
            where=str(folder),
            fix="Replace the link by the file itself",
        )
