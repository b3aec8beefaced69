"""What the user asked of a method: short flags that it knows, and a section of its own."""

from __future__ import annotations

from typing import Any

from rung.config import Settings
from rung.ladder.prepare import Prepared
from rung.methods import METHODS
from rung.methods.method import Attached

SHORT = ("rank", "alpha", "rslora", "lora_plus", "top_layers", "targets")  # settings that are options too


def settings_of(settings: Settings, method: str) -> Any:
    """The settings of `method`: its section, before the short flags that it knows, before its own defaults.

    Raises `UsageError` for an option that it does not have, and for a value that cannot be.
    """
    found = METHODS[method]
    given = {name: value for name in SHORT if (value := getattr(settings, name)) not in (None, ())}
    return found.make(found.takes(given) | dict(settings.options.get(method, {})))


def attach(prepared: Prepared, method: str) -> Attached:
    """`method` on the base of a climb, with the user's settings."""
    asked = settings_of(prepared.settings, method)
    return METHODS[method].attach(prepared.base.model, asked, seed=prepared.settings.seed)
