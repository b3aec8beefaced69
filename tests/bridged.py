"""PEFT's methods: which the bridge runs, which it refuses, and options that fit the tiny models."""

from __future__ import annotations

from typing import Any

RUN = (
    *(
        "adamss",
        "beft",
        "boft",
        "c3a",
        "deft",
        "delora",
        "fourierft",
        "frod",
        "glora",
        "gralora",
        "hira",
        "hra",
    ),
    *(
        "ia3",
        "ln_tuning",
        "loha",
        "lokr",
        "lora",
        "miss",
        "oft",
        "osf",
        "peanut",
        "psoft",
        "randlora",
        "road",
    ),
    *("shira", "supertuning", "tinylora", "unilora", "vblora", "vera", "waveft"),
)
REFUSED = {  # a part of the reason
    "adalora": "ranks must be set again at every step",
    "adaption_prompt": "whole attention layers",
    "cartridge": "as a cache",
    "cpt": "vectors in front of the tokens",
    "lily": "a mean over all tokens",
    "multitask_prompt_tuning": "the task of every row",
    "p_tuning": "vectors in front of the tokens",
    "poly": "the task of every row",
    "prefix_tuning": "as a cache",
    "prompt_tuning": "vectors in front of the tokens",
    "pvera": "draws noise",
    "shadow": "a second, smaller model",
    "trainable_tokens": "rows of the embedding",
    "xlora": "reads every row twice",
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "c3a": {"block_size": 16},
    "fourierft": {"n_frequency": 50},
    "lora": {"r": 4},
    "miss": {"r": 4},
    "psoft": {"r": 4},
    "randlora": {"r": 4, "randlora_alpha": 40},
    "road": {"group_size": 16},
    "shira": {"r": 4},
    "vblora": {"vector_length": 16, "num_vectors": 20},
    "waveft": {"n_frequency": 50},
}
SMALL = {f"peft:{kind}": options for kind, options in _OPTIONS.items()}
