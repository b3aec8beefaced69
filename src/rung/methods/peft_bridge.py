"""LoRA adapters on disk, in PEFT's format, and the strict gate in front of those that come from elsewhere.

Only the subset that every reader scales in the same way is written: plain LoRA, alpha / r (rsLoRA is folded
into alpha).  What rung needs beyond it goes into ``rung.json``.  Reading refuses whatever rung would not
reproduce exactly, where PEFT would warn and answer differently; where the adapter comes from is checked in
`rung.methods.origin`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from rung.errors import AdapterError, UsageError
from rung.methods.lora import Lora
from rung.methods.method import Files, MethodSettings
from rung.methods.origin import CONFIG, OURS, Home, Origin, read_json, read_origin, require_inside, verify
from rung.methods.targets import layer_of, linear_layers

WEIGHTS = "adapter_model.safetensors"
MOST_ALPHA = 1e6  # so that alpha / r times a weight stays a number in fp32
_FLOATS = {
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
}
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
        "target_modules": sorted({name.rsplit(".", 1)[-1] for name in lora.layers}),
        "init_lora_weights": True,
        "inference_mode": True,
    }
    if s.top_layers is not None:
        config["layers_to_transform"] = sorted({n for n in map(layer_of, lora.layers) if n is not None})
    tensors = {_PREFIX + name: tensor.cpu().contiguous() for name, tensor in lora.state().items()}
    return {
        CONFIG: json.dumps(config, indent=2).encode(),
        WEIGHTS: save(tensors, metadata={"format": "pt"}),
        OURS: json.dumps(dict(about), indent=2, default=str).encode(),
    }


def load_adapter(folder: Path, model: nn.Module, home: Home) -> tuple[Lora, Origin]:
    """Attach the LoRA adapter in `folder` to `model`, whose base is `home`.

    Also returns what the folder says about itself. Raises `AdapterError`; the model is then untouched.
    """
    _require_folder(folder)
    verify(folder)
    config = _read_config(folder)
    origin = read_origin(folder, home)
    state = _read_tensors(folder)
    settings = MethodSettings(
        rank=config["r"],
        alpha=float(config["lora_alpha"]),
        rslora=bool(config.get("use_rslora")),
        targets=tuple(config["target_modules"]),
        top_layers=_top_layers(folder, config.get("layers_to_transform"), model),
    )
    try:
        lora = Lora(model, settings)
    except UsageError as error:
        raise AdapterError(str(error), where=str(folder), fix="Is it an adapter for this base?") from error
    try:
        lora.load(state)
    except AdapterError as error:
        lora.detach()
        raise AdapterError(error.what, where=str(folder), fix="Is it an adapter for this base?") from error
    return lora, origin


def _top_layers(folder: Path, layers: object, model: nn.Module) -> int | None:
    """How many of the last decoder layers an adapter is for; None for all."""
    if not layers:
        return None
    last = max((n for n in map(layer_of, linear_layers(model)) if n is not None), default=-1)
    wanted = isinstance(layers, list) and layers == list(range(last + 1 - len(layers), last + 1))
    _require(folder, wanted, f"layers_to_transform {layers!r} are not the base's last layers")
    return len(layers) if isinstance(layers, list) else None


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise AdapterError("there is no such adapter folder", where=str(folder))
    if not (folder / CONFIG).exists():
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
    _require(folder, scaling in (None, True, False), f"use_rslora cannot be {scaling!r}")
    _require(folder, config.get("bias", "none") == "none", "it trains biases, which rung does not read")
    for name, value in config.items():
        if name not in _READ and name not in _WITHOUT_EFFECT:
            _require(folder, not value, f"{name} is set, which rung does not compute")
    _require(
        folder,
        config.get("init_lora_weights", True) in (True, False, "gaussian"),
        f"init_lora_weights {config.get('init_lora_weights')!r} changes the base's weights",
    )
    targets = config.get("target_modules")
    _require(
        folder,
        isinstance(targets, list)
        and bool(targets)
        and all(isinstance(name, str) and re.fullmatch(r"\w{1,64}", name) for name in targets),
        "target_modules must be a list of plain layer names",
    )
    return config


def _is_alpha(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and 0 < value <= MOST_ALPHA


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    path = folder / WEIGHTS
    if not path.is_file():
        pickled = sorted(file.name for file in folder.glob("*.bin"))
        why = f"{pickled[0]} is a pickle, which can run code, and is not read" if pickled else ""
        raise AdapterError(f"the folder holds no {WEIGHTS}", where=str(folder), why=why)
    require_inside(folder, path)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise AdapterError(f"{WEIGHTS} cannot be read: {error}", where=str(folder)) from error
    state = {}
    for name, tensor in tensors.items():
        if not name.startswith(_PREFIX):
            raise AdapterError(f"tensor {name!r} does not begin with {_PREFIX!r}", where=str(folder))
        if tensor.dtype not in _FLOATS:
            raise AdapterError(f"tensor {name!r} holds {tensor.dtype}, not numbers to add", where=str(folder))
        used = tensor.float()
        if not torch.isfinite(used).all():
            raise AdapterError(f"tensor {name!r} holds values that are not finite in fp32", where=str(folder))
        state[name.removeprefix(_PREFIX)] = used
    return state


def _require(folder: Path, fine: bool, otherwise: str) -> None:
    if not fine:
        raise AdapterError(otherwise, where=str(folder))
