"""LoRA in PEFT's format."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from rung.methods.adapter import Adapter, PlainFormat, require
from rung.methods.lora_settings import LEAST_ALPHA, MOST_ALPHA, MOST_RANK, LoraSettings
from rung.methods.peft_keys import (
    layer_names,
    layer_numbers,
    refuse_others,
    require_same_layers,
    target_names,
)

_READ = {
    "r",
    "lora_alpha",
    "use_rslora",
    "bias",
    "init_lora_weights",
    "target_modules",
    "layers_to_transform",
    "fan_in_fan_out",
}
_WITHOUT_EFFECT = {"lora_dropout", "megatron_core", "qalora_group_size"}  # on a finished adapter


class LoraFormat(PlainFormat):
    """The subset that every reader scales in the same way: plain LoRA, alpha / r (rsLoRA is folded in)."""

    peft_type = "LORA"

    def config(self, adapter: Adapter) -> dict[str, Any]:
        s: Any = adapter.settings
        alpha = s.alpha * math.sqrt(s.rank) if s.rslora else s.alpha
        config: dict[str, Any] = {
            "r": s.rank,
            "lora_alpha": int(alpha) if float(alpha).is_integer() else alpha,
            "lora_dropout": 0.0,
            "use_rslora": False,
            "bias": "none",
            "target_modules": target_names(adapter.facts["layers"], s.targets),
            "init_lora_weights": True,
        }
        if adapter.facts["turned"]:
            config["fan_in_fan_out"] = True
        if s.top_layers is not None:
            config["layers_to_transform"] = layer_numbers(adapter.facts["layers"])
        return config

    def settings(self, config: Mapping[str, Any]) -> LoraSettings:
        rank, alpha = config.get("r"), config.get("lora_alpha")
        require(type(rank) is int and 1 <= rank <= MOST_RANK, f"r cannot be {rank!r}")
        require(_is_alpha(alpha), f"lora_alpha cannot be {alpha!r}")
        scaling = config.get("use_rslora")
        require(scaling is None or type(scaling) is bool, f"use_rslora cannot be {scaling!r}")
        require(config.get("bias", "none") == "none", "it trains biases, which rung does not read")
        refuse_others(config, _READ | _WITHOUT_EFFECT)
        start = config.get("init_lora_weights", True)
        fine = type(start) is bool or start == "gaussian"
        require(fine, f"init_lora_weights {start!r} changes the base's weights")
        layers = config.get("layers_to_transform")
        return LoraSettings(
            rank=int(rank or 1),
            alpha=float(alpha or 1.0),
            rslora=bool(scaling),
            targets=layer_names(config, "target_modules"),
            top_layers=len(layers) if isinstance(layers, list) and layers else None,
        )

    def check(self, adapter: Adapter, attached: Any) -> None:
        require_same_layers(adapter, attached)
        super().check(adapter, attached)

    def used(self, adapter: Adapter) -> Iterator[tuple[str, Tensor]]:
        s: Any = adapter.settings
        for name, tensor in adapter.tensors.items():
            scaled = name.endswith("lora_B.weight")
            yield (f"{name!r}, scaled by alpha / r,", tensor * s.scale) if scaled else (repr(name), tensor)


def _is_alpha(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and LEAST_ALPHA <= value <= MOST_ALPHA
