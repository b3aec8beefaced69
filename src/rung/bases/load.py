"""Load a base by name: one of the catalog, a folder, a .gguf file, or a model on the hub.

Nothing that comes with a model is run, weights are read from safetensors only, and a folder passes the gate
before and after it is loaded. `rung.compute.load` also finds out how a base can be computed.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from rung.bases import catalog, gate, gguf
from rung.bases.base import OWN_ATTENTION, Base, context_of, freeze, quiet
from rung.bases.files import source_of
from rung.bases.tiny import tiny
from rung.bases.values import unloadable
from rung.border import foreign, said
from rung.errors import BaseModelError, nearest
from rung.storage import MANIFEST, sha256_file

_HUB_ID = re.compile(r"[\w][\w.\-]*/[\w][\w.\-]*(@[\w][\w.\-/]*)?")
_WANTED = ["*.json", "*.safetensors", "*.jinja", "*.model", "merges.txt", "vocab.txt", "README.md"]
_TOKENIZER_FILES = (*gate.TOKENIZERS, "merges.txt", "tokenizer_config.json", "special_tokens_map.json")
Hold = Callable[[PreTrainedModel, str], None]  # of a model and the name of its base
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def load(
    name: str,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    hold: Hold | None = None,
) -> Base:
    """The base called `name`, frozen, in `dtype` on `device`, with its own attention.

    `hold` may replace layers by others that hold their weights in another way. It gets the model with the
    weights as they are in its file, before anything is copied.

    `name` is looked up in the catalog first (it must have been fetched), then on disk, then, where it reads
    ``owner/model`` or ``owner/model@revision``, on the hub. Raises `BaseModelError`.
    """
    if name == "tiny":
        base = tiny(dtype=dtype, device=device)
        if hold is not None:
            hold(base.model, name)
        return base
    if name in catalog.CATALOG:
        folder = catalog.folder_of(name)
        if folder is None:
            raise BaseModelError(
                f"the base {name} is not on this machine yet", fix=f"Get it once: rung bases get {name}"
            )
        return _load(folder, name, catalog.CATALOG[name].license, dtype, device, hold)
    path = Path(os.path.expanduser(name))
    if name and os.path.isdir(path):  # false, and no error, for what cannot be a path
        folder = path.resolve()
        return _load(folder, folder.name, None, dtype, device, hold)
    if path.suffix == ".gguf":
        folder = _converted(path)
        return _load(folder, path.stem, None, dtype, device, hold)
    if _HUB_ID.fullmatch(name) and not name.startswith("."):
        folder = _from_hub(name)
        return _load(folder, name, None, dtype, device, hold)
    raise BaseModelError(
        f"there is no base {name!r}.{nearest(name, catalog.CATALOG)}",
        fix=f"Give one of {', '.join(catalog.CATALOG)}, a folder, a .gguf file, or owner/model on the hub",
    )


def license_of(folder: Path) -> str:
    """The licence a model folder states (README.md front matter, or what its GGUF said), or ""."""
    if stated := source_of(folder).get("license"):
        return str(stated)
    card = folder / "README.md"
    try:
        if not card.is_file():  # a pipe would never end
            return ""
        with card.open(encoding="utf-8", errors="replace") as file:
            head = file.read(8192)
    except OSError:
        return ""
    front = head[4:].split("\n---", 1)[0] if head.startswith("---\n") else ""
    match = re.search(r"^license:[ \t]*([\w.\-]+)[ \t]*$", front, re.MULTILINE)
    return match[1] if match else ""


def _load(
    folder: Path,
    name: str,
    license: str | None,
    dtype: torch.dtype,
    device: torch.device | str,
    hold: Hold | None,
) -> Base:
    checked = gate.check_folder(folder)
    with quiet():
        with foreign(partial(_no_tokenizer, folder)):
            tokenizer = AutoTokenizer.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
        with foreign(partial(unloadable, folder)):
            model, info = AutoModelForCausalLM.from_pretrained(
                str(folder),
                dtype=dtype if hold is None else "auto",
                attn_implementation=OWN_ATTENTION,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
            )
    with foreign(partial(gate.unreadable, folder)):
        gate.check_loaded(folder, model, tokenizer, info)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        if hold is not None:
            hold(model, name)
            for parameter in model.parameters():
                parameter.data = parameter.data.to(dtype)
            model.config.dtype = dtype
        model = _in_memory(freeze(model).to(device))
        fingerprint = _fingerprint(folder, checked, tokenizer)
        return Base(
            name=name,
            model=model,
            tokenizer=tokenizer,
            context=context_of(model.config),
            dtype=dtype,
            device=torch.device(device),
            fingerprint=fingerprint,
            path=folder,
            license=license_of(folder) if license is None else license,
        )


def _no_tokenizer(folder: Path, text: str) -> BaseModelError:
    return BaseModelError(
        f"its tokenizer cannot be read: {text}",
        where=folder.name,
        fix="Copy the tokenizer files from the original again",
    )


def _in_memory(model: PreTrainedModel) -> PreTrainedModel:
    """The model with its weights copied out of the mapped file, whose pages would otherwise be kept."""
    for parameter in model.parameters():
        if parameter.device.type == "cpu":
            parameter.data = parameter.data.clone()
    return model


def _fingerprint(folder: Path, checked: gate.Checked, tokenizer: Any) -> str:
    """sha256 over the files that decide what the base answers; where the folder lies does not matter."""
    files = [folder / "config.json", *checked.weights]
    files += [folder / name for name in _TOKENIZER_FILES if (folder / name).is_file()]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name} {sha256_file(file)}\n".encode())
    digest.update(repr(tokenizer.chat_template).encode())
    return digest.hexdigest()


def _converted(path: Path) -> Path:
    """The cached folder of a GGUF file, made on first use; the file's content is the key."""
    if not os.path.isfile(path):  # false, and no error, for what cannot be a path
        raise BaseModelError("no such file", where=path.name, fix="Check the path")
    with foreign(partial(gguf.unreadable, path)):
        sha256 = sha256_file(path)
    folder = catalog.bases_dir() / f"gguf-{sha256[:16]}"
    return folder if (folder / MANIFEST).is_file() else gguf.convert(path, folder, sha256=sha256)


def _from_hub(name: str) -> Path:
    """The snapshot folder of a hub model; downloaded where it is not there and we are not offline."""
    repo, _, revision = name.partition("@")
    offline = next(
        (key for key in _OFFLINE if os.environ.get(key, "").upper() in ("1", "ON", "YES", "TRUE")), None
    )
    try:
        with nullcontext() if sys.stderr.isatty() else quiet():
            folder = snapshot_download(
                repo,
                revision=revision or None,
                allow_patterns=_WANTED,
                ignore_patterns=["*/*", "consolidated*"],
                local_files_only=offline is not None,
            )
        return Path(folder)
    except Exception as error:
        if offline:
            raise BaseModelError(
                f"the base {name} is not on this machine, and {offline} is set",
                why="Nothing may be downloaded",
                fix=f"Unset {offline} once to download it, or give a model folder or a .gguf file",
            ) from error
        raise BaseModelError(
            f"the base {name} cannot be downloaded from the hub: {said(error)}",
            fix="Check the name and the network; a gated model needs HF_TOKEN. A model folder also works",
        ) from error
