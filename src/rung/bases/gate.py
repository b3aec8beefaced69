"""The gate in front of every model folder: what must hold before it is loaded, and after.

transformers loads many wrong folders with at most a log line: layers without weights stay random, weights
without layers are dropped, a shard may lie outside the folder, a configuration may name code or kernels to
fetch.  Here each of these is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import CONFIG_MAPPING, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from rung.bases.files import Json, check_files, read_json, refuse, walk
from rung.bases.values import check_context, check_room, check_values
from rung.border import foreign
from rung.errors import BaseModelError, nearest

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".h5", ".msgpack"}
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
_CHECKED = ("config.json", "tokenizer_config.json", "generation_config.json")
_CODE_KEYS = ("auto_map", "trust_remote_code", "_experts_implementation_internal", "custom_generate")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks)\.(\d{1,6})\.")
_OTHER_TOWER = re.compile(r"vision|visual|audio|image|speech|encoder\.")
_HARMLESS = re.compile(r"rotary_emb\.inv_freq$|\.attn\.(?:masked_)?bias$|\.attention\.(?:masked_)?bias$")
_FLOATS = {"F64", "F32", "F16", "BF16"}


@dataclass(frozen=True, slots=True)
class Checked:
    """A folder that may be loaded."""

    config: Json
    weights: tuple[Path, ...]


def check_folder(folder: Path) -> Checked:
    """Everything that can be known before loading. Raises `BaseModelError` that names the file."""
    with foreign(partial(unreadable, folder)):
        return _check_folder(folder)


def unreadable(folder: Path, text: str) -> BaseModelError:
    """The error for a folder that the operating system, or a library, does not read."""
    return BaseModelError(
        f"the folder cannot be read: {text}",
        where=folder.name,
        fix="Check its permissions, or copy it from the original again",
    )


def _check_folder(folder: Path) -> Checked:
    if not folder.is_dir():
        refuse(folder, "no such folder", fix="Check the path")
    if (folder / "config.json").is_file():  # a large folder of something else is not walked
        check_files(folder)
    config = read_json(folder / "config.json")
    if (folder / "adapter_config.json").exists():
        refuse(
            folder / "adapter_config.json",
            "this folder holds an adapter, not a base",
            fix="Give the base as --base, and the adapter where an adapter is asked for",
        )
    for name in _CHECKED:
        path = folder / name
        if path.exists():
            found = read_json(path)
            _check_code(path, found)
            check_context(path, found)
    _check_config(folder / "config.json", config)
    weights = _find_weights(folder)
    shapes = _read_shapes(weights)
    _check_layers(folder / "config.json", config, shapes)
    if not any((folder / name).is_file() for name in TOKENIZERS):
        refuse(
            folder,
            "no tokenizer",
            why=f"One of {', '.join(TOKENIZERS)} is needed",
            fix="Copy it from the original",
        )
    check_room(folder, shapes)
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
            refuse(
                folder,
                f"{what} {names[0]}{more}",
                why="config.json and the weights do not belong together",
                fix="Copy both from the original again",
            )
    for name, value in model.named_parameters():
        if not bool(torch.isfinite(value.sum())) and not bool(torch.isfinite(value).all()):
            refuse(
                folder,
                f"the weight {name} holds NaN or infinity",
                fix="Copy the weights again, or load it in fp32",
            )
    rows = int(model.get_input_embeddings().weight.shape[0])
    highest = max(tokenizer.get_vocab().values(), default=-1)
    if highest >= rows:
        refuse(
            folder,
            f"the tokenizer has token {highest} and the model has embeddings up to {rows - 1}",
            fix="Copy the tokenizer files that belong to this model",
        )
    if tokenizer.eos_token_id is None:
        refuse(
            folder / "tokenizer_config.json",
            "no end-of-text token is named",
            why="Generation would not know where to stop",
            fix="Add eos_token to tokenizer_config.json",
        )


def _check_code(path: Path, value: Json) -> None:
    """No key asks for code or kernels from elsewhere."""
    for _, key, item in walk(value):
        kernel = key.endswith(("implementation", "implementation_internal")) and "/" in str(item)
        if kernel or (key in _CODE_KEYS and item):
            refuse(
                path,
                f"the key {key!r} asks for code from elsewhere",
                why="rung runs no code that comes with a model",
                fix=f"Remove {key!r} from a copy of the file if transformers knows this model by itself",
            )


def _check_config(path: Path, config: Json) -> None:
    kind = config.get("model_type")
    if not isinstance(kind, str) or not kind:
        refuse(path, "no model_type", fix="Copy the file from the original again")
    if kind not in CONFIG_MAPPING:
        hint = nearest(kind, CONFIG_MAPPING.keys())
        refuse(path, f"unknown model_type {kind!r}.{hint}", fix="Update transformers if the model is new")
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
        refuse(
            path,
            f"{(classes or [kind])[0]} is not a model that continues text",
            why="rung works with decoder-only language models",
            fix="Choose a base with an architecture that ends in ForCausalLM",
        )
    if config.get("quantization_config"):
        refuse(
            path,
            "the weights are quantised",
            why="rung tunes and measures bases in bf16 or fp32",
            fix="Take the original model, or its GGUF file",
        )
    check_values(path, config)
    other = config.get("transformers_weights")
    if other is not None and not _is_plain_name(other):
        refuse(
            path,
            f"transformers_weights names {other!r}, which is not a file of this folder",
            fix="Remove the key",
        )


def _is_plain_name(name: object) -> bool:
    return isinstance(name, str) and bool(re.fullmatch(r"[\w][\w.\-]*\.safetensors", name))


def _find_weights(folder: Path) -> tuple[Path, ...]:  # noqa: RET503  `refuse` never returns
    if (folder / WEIGHTS).is_file():
        return (folder / WEIGHTS,)
    if (folder / INDEX).is_file():
        return _read_index(folder)
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in PICKLES)
    if pickles:
        refuse(
            folder / pickles[0],
            "the weights come only in a format that can run code when it is read",
            fix="Convert them to safetensors where you trust them, or take a copy that has model.safetensors",
        )
    refuse(folder, f"no weights: neither {WEIGHTS} nor {INDEX}", fix="Copy them from the original")


def _read_index(folder: Path) -> tuple[Path, ...]:
    path = folder / INDEX
    table = read_json(path).get("weight_map")
    if not isinstance(table, dict) or not table:
        refuse(path, "no weight_map", fix="Copy the file from the original again")
    shards = sorted({str(name) for name in table.values()})
    for name in shards:
        if not _is_plain_name(name):
            refuse(
                path,
                f"names {name[:80]!r}, which is not a file of this folder",
                fix="Take a copy you can trust",
            )
        if not (folder / name).is_file():
            refuse(folder / name, "this part of the weights is missing", fix="Copy it from the original")
    return tuple(folder / name for name in shards)


def _read_shapes(weights: tuple[Path, ...]) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor, as the headers say. Raises `BaseModelError`."""
    shapes = {}
    for path in weights:
        fix = "Copy the file from the original again"
        with foreign(_damaged(path, fix)), safe_open(str(path), "pt") as file:
            for name in file.keys():  # noqa: SIM118  it is no dict
                view = file.get_slice(name)
                shapes[name] = tuple(view.get_shape())
                if name.endswith(".weight") and view.get_dtype() not in _FLOATS:
                    refuse(
                        path,
                        f"the weight {name} holds {view.get_dtype()}",
                        why="rung tunes and measures bases in bf16 or fp32",
                        fix="Take the original model, or its GGUF file",
                    )
    return shapes


def _damaged(path: Path, fix: str) -> Callable[[str], BaseModelError]:
    where = f"{path.parent.name}/{path.name}"
    return lambda text: BaseModelError(f"damaged or cut short: {text}", where=where, fix=fix)


def _check_layers(path: Path, config: Json, shapes: Mapping[str, object]) -> None:
    """The weights hold as many layers as the configuration says."""
    found: set[int] = set()
    for name in shapes:
        match = _LAYER.search(name)
        if match and not _OTHER_TOWER.search(name):
            found.add(int(match[1]))
    text = config.get("text_config")
    facts = text if isinstance(text, dict) else config
    said = next((facts[key] for key in _LAYERS if isinstance(facts.get(key), int)), None)
    ahead = facts.get("num_nextn_predict_layers") or 0  # layers some models carry and transformers leaves out
    if found and said is not None and not said <= max(found) + 1 <= said + ahead:
        refuse(
            path,
            f"says {said} layers and the weights hold {max(found) + 1}",
            fix="Copy config.json and the weights from the original again",
        )
