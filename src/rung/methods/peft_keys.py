"""Keys of adapter_config.json that several methods write and read in the same way."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from rung.compute.names import layer_of
from rung.errors import AdapterError
from rung.methods.adapter import Adapter, require
from rung.methods.changes import Changes
from rung.methods.targets import linear_layers

T = TypeVar("T")
_NAME = re.compile(r"\w{1,64}(?:\.\w{1,64}){0,15}")  # PEFT names layers of small models in full
_WITHOUT_EFFECT = {  # on what a finished adapter computes
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "layers_pattern",
    "peft_type",
    "peft_version",
    "revision",
    "runtime_config",
    "task_type",
}


def refuse_others(config: Mapping[str, Any], read: Collection[str]) -> None:
    """Every key that is not `read` must be off. Raises `Unreadable`."""
    for name, value in config.items():
        if name not in read and name not in _WITHOUT_EFFECT:
            require(not value, f"{name} is set, which rung does not compute")


def layer_names(config: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Names of layers under `key`. Raises `Unreadable` unless they are a list of plain names."""
    names = config.get(key)
    fine = isinstance(names, list) and all(isinstance(name, str) and _NAME.fullmatch(name) for name in names)
    require(fine and bool(names), f"{key} must be a list of plain layer names")
    return tuple(names or ())


def target_names(facts: Mapping[str, Any], asked: Sequence[str]) -> list[str]:
    """The last parts of the layers' names, or all of them whole where these mean others too, or whole names
    were asked for."""
    layers = facts["layers"]
    whole = not facts["short"] or any("." in name for name in asked)
    return sorted(set(layers) if whole else {name.rsplit(".", 1)[-1] for name in layers})


def pattern(values: Mapping[str, T], usual: T) -> dict[str, T]:
    """What differs from `usual` among values by layer, in the form of PEFT's rank_pattern: under the last
    part of the layers' names where all layers that end so agree."""
    found: dict[str, set[T]] = {}
    for name, value in values.items():
        found.setdefault(name.rpartition(".")[2], set()).add(value)
    kept = {}
    for name, value in values.items():
        last = name.rpartition(".")[2]
        if value != usual:
            kept[last if len(found[last]) == 1 else name] = value
    return kept


def read_pattern(config: Mapping[str, Any], key: str, fine: Callable[[Any], bool]) -> dict[str, Any]:
    """The opposite. Raises `Unreadable` unless its keys are plain names and its values are `fine`."""
    found = config.get(key) or {}
    require(isinstance(found, dict), f"{key} is no mapping")
    for name, value in found.items():
        require(bool(_NAME.fullmatch(name)), f"{key} has {name!r}, which is no plain layer name")
        require(fine(value), f"{key} cannot give {name} {value!r}")
    return dict(found)


def layer_numbers(layers: Sequence[str]) -> list[int]:
    """Numbers of the decoder layers that the linear `layers` are in."""
    return sorted({number for number in map(layer_of, layers) if number is not None})


def require_same_layers(adapter: Adapter, attached: Changes) -> None:
    """Raises `AdapterError` where an adapter that was read is for other layers than it was put on."""
    config = adapter.facts.get("config")
    if config is None:
        return
    numbers = config.get("layers_to_transform")
    wanted = [*range(1 + max(layer_numbers(list(linear_layers(attached.model))), default=-1))]
    if numbers not in (None, []) and not _last(numbers, wanted):
        raise AdapterError(f"layers_to_transform {numbers!r} are not the base's last layers")
    if config.get("fan_in_fan_out") and not attached.turned:
        raise AdapterError("fan_in_fan_out is set, and the base keeps its weights the usual way")


def _last(numbers: object, layers: Sequence[int]) -> bool:
    return (
        isinstance(numbers, list)
        and all(type(number) is int for number in numbers)
        and numbers == layers[len(layers) - len(numbers) :]
    )
