"""Which linear layers a method adapts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from torch import nn

from rung.errors import UsageError, nearest


def linear_layers(
    model: nn.Module, names: Sequence[str] = (), top_layers: int | None = None
) -> dict[str, nn.Linear]:
    """Full name -> linear layer, in model order: all but the head, or those that end with one of `names`.

    A name is one or more whole parts: ``q_proj``, ``layers.0.self_attn.q_proj``.
    With `top_layers`, of so many of the last decoder layers alone. Raises `UsageError`, with the nearest
    name, where a name matches nothing, and where the model has fewer decoder layers.
    """
    find_head: Callable[[], nn.Module] | None = getattr(model, "get_output_embeddings", None)
    head = find_head() if find_head is not None else None
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }
    if top_layers is not None:
        top = _top(list(found), top_layers)
        found = {name: module for name, module in found.items() if layer_of(name) in top}
    if not names:
        return found
    known = sorted({name.rsplit(".", 1)[-1] for name in found})
    for name in names:
        if not any(_ends_with(full, name) for full in found):
            raise UsageError(
                f"no linear layer is called {name!r}.{nearest(name, known)}",
                fix=f"This base has: {', '.join(known)}",
            )
    return {name: module for name, module in found.items() if any(_ends_with(name, one) for one in names)}


def _ends_with(full: str, name: str) -> bool:
    return f".{full}".endswith(f".{name}")


def layer_of(name: str) -> int | None:
    """The number of the decoder layer that a module's full name belongs to; None for one outside of them."""
    number = re.search(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.", name)
    return int(number[1]) if number else None


def _top(names: Sequence[str], count: int) -> set[int]:
    layers = sorted({number for number in map(layer_of, names) if number is not None})
    if not 1 <= count <= len(layers):
        raise UsageError(f"the top {count} layers are asked for, and the base has {len(layers)}")
    return set(layers[-count:])


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put `module` in the place called `name`."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
