"""Methods on models, by name, with those of the given options that a method has."""

from __future__ import annotations

from typing import Any

from torch import nn

from rung.methods import METHODS
from rung.methods.method import Attached
from rung.methods.slots import ONLY


def attach(name: str, model: nn.Module, *, slot: str = ONLY, seed: int = 0, **given: Any) -> Attached:
    """The method called `name` on `model`."""
    method = METHODS[name]
    return method.attach(model, method.make(method.takes(given)), seed=seed, slot=slot)
