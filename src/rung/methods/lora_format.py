"""LoRA in PEFT's format."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from rung.methods.adapter import Adapter, PlainFormat, require
from rung.methods.lora_settings import (
    LEAST_ALPHA,
    MOST_ALPHA,
    MOST_RANK,
    DoraSettings,
    LoraSettings,
    Settings,
)
from rung.methods.peft_keys import (
    layer_names,
    layer_numbers,
    pattern,
    read_pattern,
    refuse_others,
    require_same_layers,
    target_names,
)

_READ = {
    "r",
    "lora_alpha",
    "use_rslora",
    "use_dora",
    "rank_pattern",
    "alpha_pattern",
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
    kind: type[LoraSettings] | type[DoraSettings] = LoraSettings

    def claims(self, config: Mapping[str, Any]) -> bool:
        return not config.get("use_dora")

    def config(self, adapter: Adapter) -> dict[str, Any]:
        s: Any = adapter.settings
        layers: list[str] = adapter.facts["layers"]
        rank = _times(s) * s.rank
        alpha = _alpha(s, s.alpha, s.rank)
        config: dict[str, Any] = {
            "r": rank,
            "lora_alpha": alpha,
            "lora_dropout": s.dropout,
            "use_rslora": False,
            "bias": "none",
            "target_modules": target_names(adapter.facts, s.targets),
            "init_lora_weights": True,
        }
        if adapter.facts["turned"]:
            config["fan_in_fan_out"] = True
        if s.top_layers is not None:
            config["layers_to_transform"] = layer_numbers(layers)
        if s.dora:
            config["use_dora"] = True
        if s.ranks or s.alphas:
            ranks = {name: s.rank_of(name) for name in layers}
            alphas = {name: _alpha(s, s.alpha_of(name), ranks[name]) for name in layers}
            config["rank_pattern"] = pattern({name: _times(s) * own for name, own in ranks.items()}, rank)
            config["alpha_pattern"] = pattern(alphas, alpha)
        return config

    def settings(self, config: Mapping[str, Any]) -> Settings:
        rank, alpha = config.get("r"), config.get("lora_alpha")
        require(_is_rank(rank), f"r cannot be {rank!r}")
        require(_is_alpha(alpha), f"lora_alpha cannot be {alpha!r}")
        scaling = config.get("use_rslora")
        require(scaling is None or type(scaling) is bool, f"use_rslora cannot be {scaling!r}")
        dora = config.get("use_dora")
        require(dora is None or type(dora) is bool, f"use_dora cannot be {dora!r}")
        require(config.get("bias", "none") == "none", "it trains biases, which rung does not read")
        refuse_others(config, _READ | _WITHOUT_EFFECT)
        start = config.get("init_lora_weights", True)
        fine = type(start) is bool or start == "gaussian"
        require(fine, f"init_lora_weights {start!r} changes the base's weights")
        layers = config.get("layers_to_transform")
        return self.kind(
            rank=int(rank or 1),
            alpha=float(alpha or 1.0),
            ranks=read_pattern(config, "rank_pattern", _is_rank),
            alphas=read_pattern(config, "alpha_pattern", _is_alpha),
            rslora=bool(scaling),
            targets=layer_names(config, "target_modules"),
            top_layers=len(layers) if isinstance(layers, list) and layers else None,
        )

    def to_file(self, adapter: Adapter) -> dict[str, Tensor]:
        """A start becomes part of A and B: s (B A - B0 A0) = s [B, -B0] [A; A0]."""
        found = super().to_file(adapter)
        for name in [name for name in found if name.endswith(".start")]:
            start, whole = found.pop(name), f"{name.removesuffix('.start')}.weight"
            if name.endswith("lora_A.start"):
                found[whole] = torch.cat([found[whole], start])  # (2 r, in)
            else:
                found[whole] = torch.cat([found[whole], -start], 1)  # (out, 2 r)
        return found

    def check(self, adapter: Adapter, attached: Any) -> None:
        require_same_layers(adapter, attached)
        super().check(adapter, attached)

    def used(self, adapter: Adapter) -> Iterator[tuple[str, Tensor]]:
        s: Any = adapter.settings
        for name, tensor in adapter.tensors.items():
            layer, end, _ = name.partition(".lora_B.")
            if end:
                yield f"{name!r}, scaled by alpha / r,", tensor * s.scale_of(layer)
            else:
                yield repr(name), tensor


class DoraFormat(LoraFormat):
    """The same with use_dora, and lora_magnitude_vector at each layer."""

    kind = DoraSettings

    def claims(self, config: Mapping[str, Any]) -> bool:
        return bool(config.get("use_dora"))


def _times(settings: Settings) -> int:
    """How many times the rank is in the file, where a start is part of A and B."""
    return 2 if settings.start == "pissa" else 1


def _alpha(settings: Settings, alpha: float, rank: int) -> float:
    """The alpha that divided by the rank in the file gives the scale."""
    found = _times(settings) * (alpha * math.sqrt(rank) if settings.rslora else alpha)
    return int(found) if float(found).is_integer() else found


def _is_rank(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MOST_RANK


def _is_alpha(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and LEAST_ALPHA <= value <= MOST_ALPHA
