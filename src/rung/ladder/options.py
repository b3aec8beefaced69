"""What the user asked of a method: short flags that it knows, and a section of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rung.config import Settings
from rung.errors import UsageError, nearest
from rung.methods import METHODS

if TYPE_CHECKING:
    from rung.ladder.prepare import Prepared
    from rung.methods.method import Attached

SHORT = ("rank", "alpha", "rslora", "lora_plus", "top_layers", "targets")  # settings that are options too


def settings_of(settings: Settings, method: str) -> Any:
    """The settings of `method`: its section, before the short flags that it knows, before its own defaults.

    Raises `UsageError` for an option that it does not have, and for a value that cannot be.
    """
    found = METHODS[method]
    return found.make(found.takes(_short(settings)) | dict(settings.options.get(method, {})))


def asked_options(settings: Settings) -> bool:
    """Whether anything was asked of a method."""
    return bool(settings.options or _short(settings))


def require_options(settings: Settings, methods: Sequence[str]) -> None:
    """Raises `UsageError` for options of an unknown method, and for a flag that none of `methods` takes."""
    for name in settings.options:
        if name not in METHODS:
            known = [*METHODS, *Settings.model_fields]
            raise UsageError(
                f"unknown method or setting {name!r}.{nearest(name, known)}",
                fix=f"The methods are {', '.join(METHODS)}",
            )
    for option in _short(settings) if methods else ():
        if not any(METHODS[method].takes({option: None}) for method in methods):
            flag = option.replace("_", "-")
            raise UsageError(f"{option} is no option of {' or '.join(methods)}", fix=f"Leave out --{flag}")


def _short(settings: Settings) -> dict[str, Any]:
    return {name: value for name in SHORT if (value := getattr(settings, name)) not in (None, ())}


def attach(prepared: Prepared, method: str) -> Attached:
    """`method` on the base of a climb, with the user's settings; a head gets the labels of the task.

    Raises `UsageError` for other labels.
    """
    asked = settings_of(prepared.settings, method)
    if METHODS.classifies(method):
        labels = prepared.task.labels
        if asked.labels and set(asked.labels) != set(labels):
            raise UsageError(f"{method}.labels are not those of the task", fix=f"Leave out {method}.labels")
        asked = asked.model_copy(update={"labels": labels})
    return METHODS[method].attach(prepared.base.model, asked, seed=prepared.settings.seed)
