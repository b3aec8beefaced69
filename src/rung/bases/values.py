"""The values of a model's config.json: of the right kind and range, and no larger than the weights.

transformers takes most of them as they are. An epsilon of -1 or NaN only shows in the answers, and a size of
30 million rows is allocated before it is compared with the weights.
"""

from __future__ import annotations

import math
import re
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM

from rung.bases.base import OWN_ATTENTION, quiet
from rung.bases.files import Json, refuse, walk
from rung.border import foreign
from rung.errors import BaseModelError

_WIDTHS = ("hidden_size", "n_embd", "d_model", "head_dim", "intermediate_size", "n_inner", "ffn_dim")
_HEADS = ("num_attention_heads", "n_head", "num_heads", "num_key_value_heads")
_CONTEXTS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")
_SIZES = frozenset((*_WIDTHS, *_HEADS, *_CONTEXTS, "vocab_size", "sliding_window"))
_COUNT = re.compile(r"(?:num|n)_\w*(?:experts|layers)")
_EPSILONS = ("eps", "epsilon")
_PERIODS = ("theta", "base_freq", "rotary_emb_base")
_ENDLESS = {"time_step_limit"}  # the one key that may hold infinity
MOST_PERIOD = 1e30  # fp32 holds it
MOST_PARTS = 4096  # layers, experts: each is built before its weights are looked at
_LAYERS = {"num_hidden_layers", "n_layer", "n_layers", "num_layers"}
_TAG = "__float__"  # transformers writes {"__float__": "Infinity"}
_SPARE = 1 << 20  # weights that a model may hold more than its files, whatever its size
_MOST_BUFFERS = 4 << 30  # bytes that a model computes by itself: masks, positions
_COPY = "Copy the file from the original again"


def check_values(path: Path, config: Json) -> None:
    """Every value that decides what the model computes. Raises `BaseModelError` that names the key."""
    for _, key, item in walk(config):
        tagged = isinstance(item, dict) and _TAG in item
        if (tagged or (isinstance(item, float) and not math.isfinite(item))) and key not in _ENDLESS | {_TAG}:
            refuse(path, f"{key} is {item[_TAG] if tagged else item!r}, which is not a number", fix=_COPY)
        if item is None or isinstance(item, (list, dict)):
            continue
        if key in _SIZES:
            fine, wanted = type(item) is int and 0 < item < 1 << 31, "a whole number above 0"
        elif key in _LAYERS or _COUNT.fullmatch(key):
            least = int(key in _LAYERS)  # a model may say that it has no experts
            fine = type(item) is int and least <= item <= MOST_PARTS
            wanted = f"a whole number from {least} to {MOST_PARTS:,}"
        elif key.rsplit("_", 1)[-1] in _EPSILONS:
            fine, wanted = _is_number(item) and 0 < item <= 1, "a number above 0, at most 1"
        elif key.endswith(_PERIODS):
            fine, wanted = _is_number(item) and 1 <= item <= MOST_PERIOD, "a number of at least 1"
        elif key.endswith("_token_id"):
            fine, wanted = type(item) is int, "a whole number"
        else:
            continue
        if not fine:
            refuse(path, f"{key} is {item!r} and must be {wanted}", fix=_COPY)
    for key in _numbers(str(config.get("model_type"))):
        if type(config.get(key)) is bool:
            refuse(path, f"{key} is {config[key]} and must be a number", fix=_COPY)


def _is_number(item: Any) -> bool:
    return type(item) in (int, float)


def _numbers(kind: str) -> list[str]:
    """The keys that hold a number where this kind of model is not told otherwise."""
    try:
        usual = CONFIG_MAPPING[kind]().to_dict()
    except Exception:  # noqa: BLE001  a few kinds cannot be built without settings
        return []
    return [key for key, value in usual.items() if _is_number(value)]


def check_context(path: Path, tokenizer: Json) -> None:
    """The length that a tokenizer's configuration names. Raises `BaseModelError`."""
    length = tokenizer.get("model_max_length")
    if length is not None and not (_is_number(length) and length > 0):
        refuse(path, f"model_max_length is {length!r} and must be a number above 0", fix=_COPY)


def check_room(folder: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """The model that config.json describes is about as large as `shapes`, those of the weights in the files.

    It is built without memory for its weights. Raises `BaseModelError`.
    """
    path = folder / "config.json"
    with quiet(), foreign(partial(unloadable, folder)), torch.device("meta"):
        settings = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        model = AutoModelForCausalLM.from_config(
            settings, attn_implementation=OWN_ATTENTION, trust_remote_code=False
        )
    own = {name: tuple(value.shape) for name, value in model.named_parameters()}
    asked, held = sum(map(math.prod, own.values())), sum(map(math.prod, shapes.values()))
    buffers = sum(value.numel() * value.element_size() for value in model.buffers())
    if asked > 2 * held + _SPARE:
        largest = max(own, key=lambda name: math.prod(own[name]))
        refuse(
            path,
            f"asks for {asked:,} weights and the files hold {held:,}",
            why=f"The largest would be {largest} with the shape {own[largest]}",
            fix="Copy config.json and the weights from the original again",
        )
    if buffers > _MOST_BUFFERS:
        refuse(path, f"asks for {buffers / 1e9:,.0f} GB of masks and positions", fix=_COPY)


def unloadable(folder: Path, text: str) -> BaseModelError:
    """The error for a folder that transformers makes no model of."""
    return BaseModelError(
        f"transformers cannot load it: {text}",
        where=folder.name,
        fix="Check that config.json and the weights belong together, or copy both again",
    )
