"""LoRA adapters on disk, in PEFT's format, and the strict gate in front of those that come from elsewhere.

Only the subset that every reader scales in the same way is written: plain LoRA, alpha / r (rsLoRA is folded
into alpha).  What rung needs beyond it goes into ``rung.json``.  Reading refuses whatever rung would not
reproduce exactly, where PEFT would warn and answer differently; where the adapter comes from is checked in
`rung.methods.origin`.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from rung.border import foreign
from rung.errors import AdapterError, UsageError
from rung.methods.lora import Lora
from rung.methods.method import Files, MethodSettings, require_fit
from rung.methods.origin import (
    CONFIG,
    COPY,
    OURS,
    Home,
    Origin,
    read_json,
    read_origin,
    require_inside,
    verify,
)
from rung.methods.targets import Linear, layer_of, linear_layers, weight_of

WEIGHTS = "adapter_model.safetensors"
MOST_ALPHA = 1e6  # so that alpha / r times a weight stays a number in fp32
LEAST_ALPHA = 1e-6  # less would not be felt
_FLOATS = {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"}  # as safetensors names them
_NAME = re.compile(r"\w{1,64}(?:\.\w{1,64}){0,15}")  # PEFT names layers of small models in full
_ANOTHER = "Is it an adapter for this base?"
_AGAIN = "Save it again with PEFT as plain LoRA, or train one with rung tune"
_PREFIX = "base_model.model."
_READ = {
    "peft_type",
    "r",
    "lora_alpha",
    "use_rslora",
    "bias",
    "init_lora_weights",
    "target_modules",
    "layers_to_transform",
    "fan_in_fan_out",
}
_WITHOUT_EFFECT = {  # on what a finished adapter computes; any other key must be off
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "layers_pattern",
    "lora_dropout",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
}


def adapter_files(lora: Lora, base_name: str, about: Mapping[str, Any]) -> Files:
    """The files of an adapter folder: name -> content. `about` goes into rung.json."""
    s = lora.settings
    alpha = s.alpha * math.sqrt(s.rank) if s.rslora else s.alpha
    config: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "revision": None,
        "r": s.rank,
        "lora_alpha": int(alpha) if float(alpha).is_integer() else alpha,
        "lora_dropout": 0.0,
        "use_rslora": False,
        "bias": "none",
        "target_modules": _target_names(lora),
        "init_lora_weights": True,
        "inference_mode": True,
    }
    if any(isinstance(layer.base, Conv1D) for layer in lora.layers.values()):
        config["fan_in_fan_out"] = True
    if s.top_layers is not None:
        config["layers_to_transform"] = sorted({n for n in map(layer_of, lora.layers) if n is not None})
    tensors = {_PREFIX + name: tensor.cpu().contiguous() for name, tensor in lora.state().items()}
    return {
        CONFIG: json.dumps(config, indent=2).encode(),
        WEIGHTS: save(tensors, metadata={"format": "pt"}),
        OURS: json.dumps(dict(about), indent=2, default=str).encode(),
    }


def _target_names(lora: Lora) -> list[str]:
    """The last parts of the layers' names, or all of them whole where only whole names were asked for."""
    whole = any("." in name for name in lora.settings.targets)
    return sorted(set(lora.layers) if whole else {name.rsplit(".", 1)[-1] for name in lora.layers})


def load_adapter(folder: Path, model: nn.Module, home: Home) -> tuple[Lora, Origin]:
    """Attach the LoRA adapter in `folder` to `model`, whose base is `home`.

    Also returns what the folder says about itself. Raises `AdapterError`; the model is then untouched.
    """
    with foreign(partial(_unreadable, folder)):
        _require_folder(folder)
        verify(folder)
        config = _read_config(folder)
        origin = read_origin(folder, home)
        settings = MethodSettings(
            rank=config["r"],
            alpha=float(config["lora_alpha"]),
            rslora=bool(config.get("use_rslora")),
            targets=tuple(config["target_modules"]),
            top_layers=_top_layers(folder, config.get("layers_to_transform"), model),
        )
        shapes = _read_shapes(folder)
        try:
            layers = linear_layers(model, settings.targets, settings.top_layers)
            require_fit(_wanted(layers, settings.rank), shapes)
        except (UsageError, AdapterError) as error:
            raise AdapterError(error.what, where=str(folder), fix=error.fix or _ANOTHER) from error
        turned = config.get("fan_in_fan_out") and not any(isinstance(one, Conv1D) for one in layers.values())
        _require(folder, not turned, "fan_in_fan_out is set, and the base keeps its weights the usual way")
        state = _read_tensors(folder)
        _check_scaled(folder, state, settings, model)
    lora = Lora(model, settings)
    lora.load(state)
    return lora, origin


def _unreadable(folder: Path, text: str) -> AdapterError:
    return AdapterError(f"the adapter cannot be read: {text}", where=str(folder), fix=COPY)


def _wanted(layers: Mapping[str, Linear], rank: int) -> dict[str, Tensor]:
    """The tensors of an adapter on `layers`, without memory."""
    found = {}
    for name, layer in layers.items():
        rows, columns = weight_of(layer).shape
        found[f"{name}.lora_A.weight"] = torch.empty(rank, columns, device="meta")
        found[f"{name}.lora_B.weight"] = torch.empty(rows, rank, device="meta")
    return found


def _top_layers(folder: Path, layers: object, model: nn.Module) -> int | None:
    """How many of the last decoder layers an adapter is for; None for all."""
    if layers is None or layers == []:
        return None
    last = max((n for n in map(layer_of, linear_layers(model)) if n is not None), default=-1)
    wanted = (
        isinstance(layers, list)
        and all(type(number) is int for number in layers)
        and layers == list(range(last + 1 - len(layers), last + 1))
    )
    _require(folder, wanted, f"layers_to_transform {layers!r} are not the base's last layers")
    return len(layers) if isinstance(layers, list) else None


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


def _read_config(folder: Path) -> dict[str, Any]:
    config = read_json(folder, CONFIG)
    _require(
        folder,
        config.get("peft_type") == "LORA",
        f"peft_type is {config.get('peft_type')!r}, rung reads LORA",
    )
    rank, alpha = config.get("r"), config.get("lora_alpha")
    _require(folder, type(rank) is int and 1 <= rank <= 4096, f"r cannot be {rank!r}")
    _require(folder, _is_alpha(alpha), f"lora_alpha cannot be {alpha!r}")
    scaling = config.get("use_rslora")
    _require(folder, scaling is None or type(scaling) is bool, f"use_rslora cannot be {scaling!r}")
    _require(folder, config.get("bias", "none") == "none", "it trains biases, which rung does not read")
    for name, value in config.items():
        if name not in _READ and name not in _WITHOUT_EFFECT:
            _require(folder, not value, f"{name} is set, which rung does not compute")
    start = config.get("init_lora_weights", True)
    _require(
        folder,
        type(start) is bool or start == "gaussian",
        f"init_lora_weights {start!r} changes the base's weights",
    )
    targets = config.get("target_modules")
    _require(
        folder,
        isinstance(targets, list)
        and bool(targets)
        and all(isinstance(name, str) and _NAME.fullmatch(name) for name in targets),
        "target_modules must be a list of plain layer names",
    )
    return config


def _is_alpha(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and LEAST_ALPHA <= value <= MOST_ALPHA


def _read_shapes(folder: Path) -> dict[str, Tensor]:
    """The tensors of the file as its header names them, without memory and without PEFT's prefix."""
    path = folder / WEIGHTS
    if not path.is_file():
        pickled = sorted(file.name for file in folder.glob("*.bin"))
        why = f"{pickled[0]} is a pickle, which can run code, and is not read" if pickled else ""
        raise AdapterError(f"the folder holds no {WEIGHTS}", where=str(folder), why=why, fix=_AGAIN)
    require_inside(folder, path)
    shapes = {}
    with foreign(partial(_damaged, folder)), safe_open(str(path), "pt") as file:
        for name in file.keys():  # noqa: SIM118  it is no dict
            view = file.get_slice(name)
            _require(folder, name.startswith(_PREFIX), f"tensor {name!r} does not begin with {_PREFIX!r}")
            fine = view.get_dtype() in _FLOATS
            _require(folder, fine, f"tensor {name!r} holds {view.get_dtype()}, not numbers to add")
            shapes[name.removeprefix(_PREFIX)] = torch.empty(view.get_shape(), device="meta")
    return shapes


def _damaged(folder: Path, text: str) -> AdapterError:
    return AdapterError(f"{WEIGHTS} cannot be read: {text}", where=str(folder), fix=COPY)


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    """The weights in fp32, without PEFT's prefix."""
    with foreign(partial(_damaged, folder)):
        tensors = {
            name.removeprefix(_PREFIX): value.float() for name, value in load_file(folder / WEIGHTS).items()
        }
    for name, tensor in tensors.items():
        fine = bool(torch.isfinite(tensor).all())
        _require(folder, fine, f"tensor {name!r} holds values that are not finite in fp32")
    return tensors


def _check_scaled(
    folder: Path, state: Mapping[str, Tensor], settings: MethodSettings, model: nn.Module
) -> None:
    """What the forward pass uses, in the base's number format, is finite."""
    dtype = next(model.parameters()).dtype
    scale = settings.alpha / (math.sqrt(settings.rank) if settings.rslora else settings.rank)
    for name, tensor in state.items():
        used = tensor * scale if name.endswith("lora_B.weight") else tensor
        fine = bool(torch.isfinite(used.to(dtype)).all())
        _require(folder, fine, f"tensor {name!r}, scaled by alpha / r, is too large for {dtype}")


def _require(folder: Path, fine: bool, otherwise: str) -> None:
    if not fine:
        raise AdapterError(otherwise, where=str(folder), fix=_AGAIN)
