"""What the user asked of a method: short flags that it knows, and a section of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rung.config import Settings
from rung.errors import DataError, UsageError, nearest
from rung.ladder.layers import usual_layers
from rung.methods import METHODS

if TYPE_CHECKING:
    from rung.ladder.prepare import Prepared
    from rung.methods.method import Attached

SHORT = ("rank", "alpha", "rslora", "lora_plus", "top_layers", "targets")  # settings that are options too


def settings_of(settings: Settings, method: str) -> Any:
    """The settings of `method`: its section, before the short flags that it knows, before its own defaults.

    Raises `UsageError` for an option that it does not have, and for a value that cannot be.
    """
    found, options = METHODS[method], settings.options
    own = {**options.get(METHODS.plain(method), {}), **options.get(method, {})}
    return found.make(found.takes(_short(settings)) | own)


def asked_options(settings: Settings) -> bool:
    """Whether anything was asked of a method."""
    return bool(settings.options or _short(settings))


def require_options(settings: Settings) -> None:
    """Raises `UsageError` for options of an unknown method. Short flags may be of none that is tried."""
    for name in settings.options:
        if name not in METHODS:
            known = [*METHODS, *Settings.model_fields]
            raise UsageError(
                f"unknown method or setting {name!r}.{nearest(name, known)}",
                fix=f"The methods are {', '.join(METHODS)}",
            )


def _short(settings: Settings) -> dict[str, Any]:
    return {name: value for name in SHORT if (value := getattr(settings, name)) not in (None, ())}


def attach(prepared: Prepared, method: str) -> Attached:
    """`method` on the base of a climb, with the user's settings; a head gets the labels of the task.

    Raises `UsageError` where these do not fit the base or the task, `DataError` where the longest row has no
    room left.
    """
    from rung.data.tokens import Tokens

    base = prepared.base
    asked = settings_of(prepared.settings, method).encoded(lambda text: Tokens(base.tokenizer).encode(text))
    if layers := usual_layers(prepared, method, asked):
        asked = asked.model_copy(update={"top_layers": layers})
    if METHODS.classifies(method):
        asked = _with_labels(asked, method, prepared.task.labels)
    attached = METHODS[method].attach(base.model, asked, seed=prepared.settings.seed)
    try:
        attached.check_asked()
        _require_room(prepared, method)
    except BaseException:
        attached.detach()
        raise
    return attached


def with_layers(prepared: Prepared, top_layers: int | None) -> Prepared:
    """`prepared` with so many top layers asked for; as it is where `top_layers` is None."""
    if top_layers is None:
        return prepared
    settings = prepared.settings.model_copy(update={"top_layers": top_layers})
    return replace(prepared, settings=settings)


@contextmanager
def attached_for(prepared: Prepared, method: str) -> Iterator[Attached]:
    """As `attach`; it is taken off again where the context ends."""
    attached = attach(prepared, method)
    try:
        yield attached
    finally:
        attached.detach()


def _with_labels(asked: Any, method: str, labels: tuple[str, ...]) -> Any:
    """The settings of a head for the labels of the task. Raises `UsageError` for other labels."""
    if asked.labels and set(asked.labels) != set(labels):
        raise UsageError(f"{method}.labels are not those of the task", fix=f"Leave out {method}.labels")
    return asked.model_copy(update={"labels": labels})


def _require_room(prepared: Prepared, method: str) -> None:
    """Raises `DataError` where what `method` puts before every row leaves no room for the longest."""
    from rung.compute.lead import lead_of

    context = prepared.base.context
    room = context - lead_of(prepared.base.model).length
    rows = (*prepared.rendered.values(), *prepared.others.values())
    longest = max((len(row.ids) for row in rows), default=0)
    if longest > room:
        raise DataError(
            f"{method} takes {context - room} of the base's {context} tokens, a row has {longest}",
            fix=f"Set {method}.length lower, or --max-length {room} with --long-rows drop",
        )
