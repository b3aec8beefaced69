"""A module next to one of the model's: what it computes from the same input is added to the other's output.

The model's modules keep their places and names. Where a model runs a module itself, a hook adds; the fused
path, which computes an MLP without its module, asks `parallel_of`.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from torch import nn
from torch.utils.hooks import RemovableHandle

_parallel: WeakKeyDictionary[nn.Module, tuple[nn.Module, RemovableHandle]] = WeakKeyDictionary()


def parallel_of(module: nn.Module) -> nn.Module | None:
    """What is next to `module`."""
    found = _parallel.get(module)
    return found[0] if found else None


def put_parallel(module: nn.Module, other: nn.Module | None) -> None:
    """From now on `other` (..., d) -> (..., d) is next to `module`, in place of what was; None: nothing."""
    if module in _parallel:
        _parallel.pop(module)[1].remove()
    if other is None:
        return

    def add(_module: nn.Module, inputs: tuple[Any, ...], out: Any) -> Any:
        more = other(inputs[0])
        return (out[0] + more, *out[1:]) if isinstance(out, tuple) else out + more

    _parallel[module] = other, module.register_forward_hook(add)
