"""The gate in front of every model folder: what must hold before it is loaded, and after.

transformers loads many wrong folders with at most a log line: layers without weights stay random, weights
without layers are dropped, a shard may lie outside the folder, a configuration may name code or kernels to
fetch.  Here each of these is refused by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError, safe_open
from transformers import CONFIG_MAPPING, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from rung.errors import BaseModelError, nearest

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
JSON_BYTES = 64 << 20
JSON_DEPTH = 64
PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".h5", ".msgpack"}
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
_CHECKED = ("config.json", "tokenizer_config.json", "generation_config.json")
_CODE_KEYS = ("auto_map", "trust_remote_code", "_experts_implementation_internal", "custom_generate")
_WIDTHS = ("hidden_size", "n_embd", "d_model", "head_dim", "intermediate_size", "vocab_size")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_HEADS = ("num_attention_heads", "n_head", "num_key_value_heads")
_SIZES = frozenset((*_WIDTHS, *_LAYERS, *_HEADS, "max_position_embeddings"))
_LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks)\.(\d{1,6})\.")
_OTHER_TOWER = re.compile(r"vision|visual|audio|image|speech|encoder\.")
_HARMLESS = re.compile(r"rotary_emb\.inv_freq$|\.attn\.(?:masked_)?bias$|\.attention\.(?:masked_)?bias$")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Checked:
    """A folder that may be loaded."""

    config: Json
    weights: tuple[Path, ...]


def check_folder(folder: Path) -> Checked:
    """Everything that can be known before loading. Raises `BaseModelError` that names the file."""
    if not folder.is_dir():
        _refuse(folder, "no such folder", fix="Check the path")
    _check_links(folder)
    if (folder / "adapter_config.json").exists():
        _refuse(
            folder / "adapter_config.json",
            "this folder holds an adapter, not a base",
            fix="Give the base as --base, and the adapter where an adapter is asked for",
        )
    config = _read(folder / "config.json")
    for name in _CHECKED:
        path = folder / name
        if path.exists():
            _check_code(path, _read(path))
    _check_config(folder / "config.json", config)
    weights = _find_weights(folder)
    _check_weights(folder, config, weights)
    if not any((folder / name).is_file() for name in TOKENIZERS):
        _refuse(
            folder,
            "no tokenizer",
            why=f"One of {', '.join(TOKENIZERS)} is needed",
            fix="Copy it from the original",
        )
    return Checked(config, weights)


def check_loaded(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, info: Mapping[str, Any]
) -> None:
    """What shows only after loading; `info` is transformers' loading info. Raises `BaseModelError`."""
    missing = sorted(info["missing_keys"])
    extra = sorted(name for name in info["unexpected_keys"] if not _HARMLESS.search(name))
    for names, what in (
        (missing, "has no weights for"),
        (extra, "has weights that the model has no place for:"),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            _refuse(
                folder,
                f"{what} {names[0]}{more}",
                why="config.json and the weights do not belong together",
                fix="Copy both from the original again",
            )
    for name, value in model.named_parameters():
        if not bool(torch.isfinite(value.sum())) and not bool(torch.isfinite(value).all()):
            _refuse(
                folder,
                f"the weight {name} holds NaN or infinity",
                fix="Copy the weights again, or load it in fp32",
            )
    rows = int(model.get_input_embeddings().weight.shape[0])
    highest = max(tokenizer.get_vocab().values(), default=-1)
    if highest >= rows:
        _refuse(
            folder,
            f"the tokenizer has token {highest} and the model has embeddings up to {rows - 1}",
            fix="Copy the tokenizer files that belong to this model",
        )
    if tokenizer.eos_token_id is None:
        _refuse(
            folder / "tokenizer_config.json",
            "no end-of-text token is named",
            why="Generation would not know where to stop",
            fix="Add eos_token to tokenizer_config.json",
        )


def _refuse(path: Path, what: str, *, why: str = "", fix: str = "") -> NoReturn:
    where = f"{path.parent.name}/{path.name}" if path.suffix and not path.is_dir() else path.name
    raise BaseModelError(what, where=where, why=why, fix=fix)


def _check_links(folder: Path) -> None:
    """Every file lies inside the folder, or inside the same repository of the hub's cache."""
    home = folder.resolve()
    hub = next((parent for parent in home.parents if parent.name.startswith("models--")), None)
    for entry in home.iterdir():
        if entry.is_symlink():
            target = entry.resolve()
            if not target.is_relative_to(home) and not (hub and target.is_relative_to(hub)):
                _refuse(
                    entry, "is a link to a file outside the folder", fix="Replace the link by the file itself"
                )


def _read(path: Path) -> Json:
    """A small JSON object. Raises `BaseModelError`."""
    fix = "Copy the file from the original again"
    if not path.is_file():
        _refuse(
            path,
            "no such file",
            why="A base is a folder with config.json, safetensors and a tokenizer",
            fix=fix,
        )
    if path.stat().st_size > JSON_BYTES:
        _refuse(path, f"larger than {JSON_BYTES >> 20} MB", fix=fix)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        _refuse(path, "nested too deeply", fix=fix)
    except ValueError as error:
        _refuse(path, f"not JSON: {error}", fix=fix)
    if not isinstance(value, dict):
        _refuse(path, "not a JSON object", fix=fix)
    if any(depth > JSON_DEPTH for depth, _, _ in _walk(value)):
        _refuse(path, "nested too deeply", fix=fix)
    return value


def _walk(value: Any) -> Iterator[tuple[int, str, Any]]:
    """(depth, key, value) of everything in a JSON value; items of a list have the list's key."""
    todo: list[tuple[int, str, Any]] = [(0, "", value)]
    while todo:
        depth, key, item = todo.pop()
        yield depth, key, item
        if isinstance(item, dict):
            todo += [(depth + 1, name, inner) for name, inner in item.items()]
        elif isinstance(item, list):
            todo += [(depth + 1, key, inner) for inner in item]


def _check_code(path: Path, value: Json) -> None:
    """No key asks for code or kernels from elsewhere."""
    for _, key, item in _walk(value):
        kernel = key.endswith(("implementation", "implementation_internal")) and "/" in str(item)
        if kernel or (key in _CODE_KEYS and item):
            _refuse(
                path,
                f"the key {key!r} asks for code from elsewhere",
                why="rung runs no code that comes with a model",
                fix=f"Remove {key!r} from a copy of the file if transformers knows this model by itself",
            )


def _check_config(path: Path, config: Json) -> None:
    kind = config.get("model_type")
    if not isinstance(kind, str) or not kind:
        _refuse(path, "no model_type", fix="Copy the file from the original again")
    if kind not in CONFIG_MAPPING:
        hint = nearest(kind, CONFIG_MAPPING.keys())
        _refuse(path, f"unknown model_type {kind!r}.{hint}", fix="Update transformers if the model is new")
    named = config.get("architectures")
    classes = [str(name) for name in named] if isinstance(named, list) else []
    writes = any(re.search(r"ForCausalLM|LMHeadModel|ForConditionalGeneration", name) for name in classes)
    encoder = kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES or bool(classes)
    pair = kind in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES and not any(
        "ForCausalLM" in name for name in classes
    )
    if (
        config.get("is_encoder_decoder")
        or pair
        or kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        or (encoder and not writes)
    ):
        _refuse(
            path,
            f"{(classes or [kind])[0]} is not a model that continues text",
            why="rung works with decoder-only language models",
            fix="Choose a base with an architecture that ends in ForCausalLM",
        )
    if config.get("quantization_config"):
        _refuse(
            path,
            "the weights are quantised",
            why="rung tunes and measures bases in bf16 or fp32",
            fix="Take the original model, or its GGUF file",
        )
    for _, key, item in _walk(config):
        if key not in _SIZES or item is None or isinstance(item, (list, dict)):
            continue
        if type(item) is not int or not 0 < item < 1 << 31:
            _refuse(path, f"{key} is {item!r} and must be a whole number above 0", fix="Copy the file again")
    other = config.get("transformers_weights")
    if other is not None and not _is_plain_name(other):
        _refuse(
            path,
            f"transformers_weights names {other!r}, which is not a file of this folder",
            fix="Remove the key",
        )


def _is_plain_name(name: object) -> bool:
    return isinstance(name, str) and bool(re.fullmatch(r"[\w][\w.\-]*\.safetensors", name))


def _find_weights(folder: Path) -> tuple[Path, ...]:
    if (folder / WEIGHTS).is_file():
        return (folder / WEIGHTS,)
    if (folder / INDEX).is_file():
        return _read_index(folder)
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in PICKLES)
    if pickles:
        _refuse(
            folder / pickles[0],
            "the weights come only in a format that can run code when it is read",
            fix="Convert them to safetensors where you trust them, or take a copy that has model.safetensors",
        )
    _refuse(folder, f"no weights: neither {WEIGHTS} nor {INDEX}", fix="Copy them from the original")


def _read_index(folder: Path) -> tuple[Path, ...]:
    path = folder / INDEX
    table = _read(path).get("weight_map")
    if not isinstance(table, dict) or not table:
        _refuse(path, "no weight_map", fix="Copy the file from the original again")
    shards = sorted({str(name) for name in table.values()})
    for name in shards:
        if not _is_plain_name(name):
            _refuse(
                path,
                f"names {name[:80]!r}, which is not a file of this folder",
                fix="Take a copy you can trust",
            )
        if not (folder / name).is_file():
            _refuse(folder / name, "this part of the weights is missing", fix="Copy it from the original")
    return tuple(folder / name for name in shards)


def _check_weights(folder: Path, config: Json, weights: tuple[Path, ...]) -> None:
    """The headers are sound, and hold as many layers as the configuration says."""
    found: set[int] = set()
    for path in weights:
        try:
            with safe_open(str(path), "pt") as file:
                names = list(file.keys())
        except (SafetensorError, OSError, ValueError) as error:
            _refuse(path, f"damaged or cut short: {error}", fix="Copy the file from the original again")
        for name in names:
            match = _LAYER.search(name)
            if match and not _OTHER_TOWER.search(name):
                found.add(int(match[1]))
    text = config.get("text_config")
    facts = text if isinstance(text, dict) else config
    said = next((facts[key] for key in _LAYERS if isinstance(facts.get(key), int)), None)
    ahead = facts.get("num_nextn_predict_layers") or 0  # layers some models carry and transformers leaves out
    if found and said is not None and not said <= max(found) + 1 <= said + ahead:
        _refuse(
            folder / "config.json",
            f"says {said} layers and the weights hold {max(found) + 1}",
            fix="Copy config.json and the weights from the original again",
        )
