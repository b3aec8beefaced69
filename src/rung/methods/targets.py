"""Which linear layers a method adapts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from rung.errors import UsageError, nearest


def linear_layers(model: nn.Module, names: Sequence[str] = ()) -> dict[str, nn.Linear]:
    """Full name -> linear layer, in model order: all but the head, or those whose last part is in `names`.

    Raises `UsageError`, with the nearest name, where a name matches nothing.
    """
    find_head: Callable[[], nn.Module] | None = getattr(model, "get_output_embeddings", None)
    head = find_head() if find_head is not None else None
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }
    if not names:
        return found
    known = sorted({name.rsplit(".", 1)[-1] for name in found})
    for name in names:
        if name not in known:
            raise UsageError(
                f"no linear layer is called {name!r}.{nearest(name, known)}",
                fix=f"This base has: {', '.join(known)}",
            )
    return {name: module for name, module in found.items() if name.rsplit(".", 1)[-1] in names}


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put `module` in the place called `name`."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
