"""Adapters on disk, in PEFT's format, and the strict gate in front of those that come from elsewhere.

What differs from method to method is its `rung.methods.adapter.Format`. What rung needs beyond PEFT's files
goes into ``rung.json``. Reading refuses whatever rung would not reproduce exactly, where PEFT would warn and
answer differently; where the adapter comes from is checked in `rung.methods.origin`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from rung.border import foreign
from rung.errors import AdapterError
from rung.methods import peft_names
from rung.methods.adapter import Adapter, Unreadable, put_in, require
from rung.methods.method import Attached, Files, Method
from rung.methods.origin import (
    CONFIG,
    COPY,
    LABELS,
    OURS,
    Home,
    Origin,
    read_json,
    read_origin,
    require_inside,
    verify,
)
from rung.methods.slots import ONLY
from rung.methods.table import METHODS

WEIGHTS = "adapter_model.safetensors"
_WHOLE = {"I64", "I32"}
_FLOATS = {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"}  # as safetensors names them
_AGAIN = "Save it again with PEFT, without what rung does not read, or train one with rung tune"


def files_of(adapter: Adapter, base_name: str) -> Files:
    """The files of an adapter folder: name -> content. Those of a whole model are transformers' own."""
    form = adapter.method.format
    files: Files = form.files(adapter)
    if adapter.method.promises.whole_model:
        return files
    config: dict[str, Any] = {
        "peft_type": form.peft_type,
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "revision": None,
        "inference_mode": True,
        **form.config(adapter),
    }
    tensors = {name: tensor.cpu().contiguous() for name, tensor in form.to_file(adapter).items()}
    return files | {
        CONFIG: json.dumps(config, indent=2).encode(),
        WEIGHTS: save(tensors, metadata={"format": "pt"}),
        OURS: json.dumps(dict(adapter.about), indent=2, default=str).encode(),
    }


def read_adapter(folder: Path, home: Home) -> tuple[Adapter, Origin]:
    """The adapter in `folder`, for the base `home`, and what the folder says about itself.

    Raises `AdapterError`.
    """
    with foreign(partial(_unreadable, folder)):
        _require_folder(folder)
        verify(folder)
        config = read_json(folder, CONFIG)
        if os.path.lexists(folder / LABELS):
            config["id2label"] = read_json(folder, LABELS).get("id2label")
        try:
            method = _bridged(folder, config) or _method_of(config)
            settings = method.format.settings(config)
            origin = read_origin(folder, home)
            _check_header(folder, _FLOATS | _WHOLE if _has_whole_numbers(method) else _FLOATS)
            state = method.format.from_file(_read_tensors(folder), settings)
        except Unreadable as error:
            raise AdapterError(str(error), where=str(folder), fix=_AGAIN) from error
    return Adapter(method, settings, state, {"config": config}), origin


def load_adapter(folder: Path, model: nn.Module, home: Home, slot: str = ONLY) -> tuple[Attached, Origin]:
    """Attach the adapter in `folder` to `model`, whose base is `home`.

    Also returns what the folder says about itself. Raises `AdapterError`; the model is then untouched.
    """
    adapter, origin = read_adapter(folder, home)
    with foreign(partial(_unreadable, folder)):
        return put_in(folder, adapter, model, slot), origin


def _bridged(folder: Path, config: Mapping[str, Any]) -> Method | None:
    """The method of PEFT's that a folder of rung's own is of, None where it is another's.

    A folder from elsewhere is never read so: what its options change in a base is known to PEFT alone, and no
    gate could tell whether PEFT leaves some of them out with a warning. One that rung wrote has a manifest,
    and was computed by rung with the same options before.
    """
    name = read_json(folder, OURS).get("method") if os.path.lexists(folder / OURS) else None
    if not isinstance(name, str) or not name.startswith(peft_names.MARK):
        return None
    kind = str(config.get("peft_type")).lower()
    require(
        name == peft_names.MARK + kind, f"{OURS} says that it is of {name}, {CONFIG} that it is of {kind}"
    )
    require(peft_names.runs(kind), f"it is of PEFT's {kind}, which the installed PEFT or rung does not run")
    return METHODS[name]


def _has_whole_numbers(method: Method) -> bool:
    return bool(getattr(method.format, "whole_numbers", False))


def _method_of(config: Mapping[str, Any]) -> Method:
    """The method that an adapter's configuration is of."""
    kind = config.get("peft_type")
    known = [method for _, method in METHODS.items() if method.format.peft_type]
    for method in known:
        if method.format.peft_type == kind and method.format.claims(config):
            return method
    names = ", ".join(dict.fromkeys(method.format.peft_type for method in known))
    if peft_names.runs(str(kind).lower()):
        names += "; and this one from folders of its own alone"
    raise Unreadable(f"peft_type is {kind!r}, rung reads {names}")


def _unreadable(folder: Path, text: str) -> AdapterError:
    return AdapterError(f"the adapter cannot be read: {text}", where=str(folder), fix=COPY)


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise AdapterError("there is no such adapter folder", where=str(folder), fix="Check the path")
    try:
        os.listdir(folder)
    except OSError as error:
        what, fix = f"the folder cannot be read: {error.strerror}", "Check its permissions"
        raise AdapterError(what, where=str(folder), fix=fix) from error
    if not os.path.lexists(folder / CONFIG):
        whole = (folder / "config.json").is_file()
        raise AdapterError(
            f"the folder holds no {CONFIG}",
            where=str(folder),
            why="It holds a whole model" if whole else "",
            fix="Give it with --base" if whole else "Give an adapter in PEFT's format",
        )


def _check_header(folder: Path, kinds: Collection[str]) -> None:
    """The file of the weights is there, and its header says that all of them are numbers to compute with."""
    path = folder / WEIGHTS
    if not path.is_file():
        pickled = sorted(file.name for file in folder.glob("*.bin"))
        why = f"{pickled[0]} is a pickle, which can run code, and is not read" if pickled else ""
        raise AdapterError(f"the folder holds no {WEIGHTS}", where=str(folder), why=why, fix=_AGAIN)
    require_inside(folder, path)
    with foreign(partial(_damaged, folder)), safe_open(str(path), "pt") as file:
        for name in file.keys():  # noqa: SIM118  it is no dict
            kind = file.get_slice(name).get_dtype()
            if kind not in kinds:
                what = f"tensor {name!r} holds {kind}, not numbers to compute with"
                raise AdapterError(what, where=str(folder), fix=_AGAIN)


def _damaged(folder: Path, text: str) -> AdapterError:
    return AdapterError(f"{WEIGHTS} cannot be read: {text}", where=str(folder), fix=COPY)


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    """The weights, in fp32 where they are no whole numbers, by the names in the file."""
    with foreign(partial(_damaged, folder)):
        read = load_file(folder / WEIGHTS)
        tensors = {
            name: value.float() if value.is_floating_point() else value for name, value in read.items()
        }
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise AdapterError(
                f"tensor {name!r} holds values that are not finite in fp32", where=str(folder), fix=_AGAIN
            )
    return tensors
