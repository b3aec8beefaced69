"""What every tuning method offers: attach it to a model, train its parameters, save, merge or remove it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from rung.errors import AdapterError
from rung.registry import Registry

Files = dict[str, bytes | Callable[[Path], None]]  # name -> content, or what writes it


@dataclass(frozen=True, slots=True)
class MethodSettings:
    """What can be asked of a method; each reads what concerns it."""

    rank: int = 16
    alpha: float = 32.0
    rslora: bool = False
    b_rate: float = 1.0  # LoRA+: learning rate of B over that of A
    targets: tuple[str, ...] = ()  # names of linear layers; all if empty
    top_layers: int | None = None  # only so many of the last decoder layers; all if None
    seed: int = 0


class Attached(Protocol):
    """A method that sits on a model; nothing but its own parameters gets a gradient."""

    def parameters(self) -> list[nn.Parameter]:
        """What the optimizer updates, in fp32 (or the model's dtype if wider), in a fixed order."""
        ...

    def rates(self) -> list[float]:
        """For each of `parameters`, its share of the learning rate."""
        ...

    def frozen_layers(self) -> int:
        """How many of the first decoder layers, with all below them, stay as the base's."""
        ...

    def updated(self) -> None:
        """Call after the optimizer's step: brings the new values to where the forward pass reads them."""
        ...

    def state(self, copy: bool = True) -> dict[str, Tensor]:
        """What the forward pass uses, enough to answer as now: a copy, or else the very tensors."""
        ...

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over a `state`. Raises `AdapterError` where names or shapes differ."""
        ...

    def applied(self) -> dict[str, Any]:
        """The settings that only this method has, as used, for the record of the run."""
        ...

    def notes(self) -> tuple[str, ...]:
        """Sentences on how it fits this base, for the notes of a run; none where there is nothing to say."""
        ...

    def files(self, base: str, about: Mapping[str, Any]) -> Files:
        """The files from which what was trained can be loaded again; `base` is the name of the base, and
        `about` says where they come from and is kept with them."""
        ...

    def disabled(self) -> AbstractContextManager[None]:
        """The plain base, for as long as the context lasts."""
        ...

    def merge(self) -> None:
        """Write the change into the base's weights; afterwards the model answers without the method."""
        ...

    def detach(self) -> None:
        """Take the method off: the model is the plain base again, bit for bit (unless merged)."""
        ...


@dataclass(frozen=True, slots=True)
class Method:
    """A way of tuning, with the defaults that work for it and what it promises."""

    name: str
    title: str  # for the screen
    learning_rate: float
    attach: Callable[[nn.Module, MethodSettings], Attached]
    identity_at_start: bool = True  # the model answers as the base until the first step
    mergeable: bool = True
    whole_model: bool = False  # its files are a complete model, which needs a tokenizer next to it


METHODS: Registry[Method] = Registry("method")


def require_fit(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Raises `AdapterError` unless `state` has the names and shapes of `own`; to be called before a copy."""
    if own.keys() != state.keys():
        odd = sorted(own.keys() ^ state.keys())
        raise AdapterError(f"{len(odd)} tensors are missing or unknown, such as {odd[0]}")
    for name, tensor in own.items():
        if tensor.shape != state[name].shape:
            raise AdapterError(f"{name} has shape {tuple(state[name].shape)}, not {tuple(tensor.shape)}")
