"""Writing with a model: batched decoding, scoring of fixed choices, sampling. Names load on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rung.generate.choose import best_choices, log_likelihoods
    from rung.generate.engine import Engine, Generated
    from rung.generate.sample import Sampler

_HOMES = {
    "Engine": "engine",
    "Generated": "engine",
    "Sampler": "sample",
    "best_choices": "choose",
    "log_likelihoods": "choose",
}
__all__ = ["Engine", "Generated", "Sampler", "best_choices", "log_likelihoods"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
