"""What a method leaves behind, as data: it exists without a model, and how it is written in PEFT's format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rung.errors import AdapterError, BaseModelError, UsageError
from rung.methods.method import Attached, Files, Method, MethodSettings
from rung.methods.slots import ONLY


@dataclass(frozen=True, slots=True)
class Adapter:
    """A trained adapter. `tensors` have the names of `Attached.named`."""

    method: Method
    settings: MethodSettings
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any] = field(default_factory=dict)  # of its base: see `Attached.facts`
    about: Mapping[str, Any] = field(default_factory=dict)  # where it comes from; kept in rung.json

    @classmethod
    def of(
        cls, method: Method, attached: Attached, about: Mapping[str, Any] | None = None, copy: bool = True
    ) -> Adapter:
        """What `attached` has learned so far: a copy, or else the very tensors."""
        return cls(method, attached.settings, attached.state(copy), attached.facts(), about or {})

    def put(self, model: nn.Module, slot: str = ONLY) -> Attached:
        """Attach it to a model. Raises `AdapterError` where it does not fit; the model is then untouched."""
        try:
            attached = self.method.attach(model, self.settings, slot=slot)
        except (UsageError, BaseModelError) as error:
            raise AdapterError(error.what, fix=error.fix or "Is it an adapter for this base?") from error
        try:
            self.method.format.check(self, attached)
            attached.load(self.tensors)
        except BaseException:
            attached.detach()
            raise
        return attached


class Format(Protocol):
    """How the adapters of a method are written in PEFT's format; `rung.methods.peft_format` does the rest.

    The files hold ``adapter_config.json``, of which `config` gives what is not the same for all methods, and
    the tensors, as `to_file` gives them.
    """

    @property
    def peft_type(self) -> str:
        """PEFT's name for the method; one that begins with RUNG_ where PEFT has no such method."""
        ...

    def config(self, adapter: Adapter) -> dict[str, Any]:
        """Keys of adapter_config.json."""
        ...

    def claims(self, config: Mapping[str, Any]) -> bool:
        """Whether a configuration with this ``peft_type`` is one of this method's."""
        ...

    def settings(self, config: Mapping[str, Any]) -> MethodSettings:
        """The settings in a configuration. Raises `Unreadable` for what rung would not compute the same."""
        ...

    def to_file(self, adapter: Adapter) -> dict[str, Tensor]:
        """The tensors as the file holds them."""
        ...

    def from_file(self, tensors: Mapping[str, Tensor], settings: Any) -> dict[str, Tensor]:
        """The opposite. Raises `Unreadable`."""
        ...

    def files(self, adapter: Adapter) -> Files:
        """Further files; all of them for a whole model."""
        ...

    def check(self, adapter: Adapter, attached: Attached) -> None:
        """Raises `AdapterError` where the numbers would not be finite as `attached` uses them."""
        ...


class Unreadable(Exception):
    """What rung does not read in an adapter's files; a sentence without its folder."""


def require(fine: bool, otherwise: str) -> None:
    """Raises `Unreadable` with the text `otherwise`."""
    if not fine:
        raise Unreadable(otherwise)


class PlainFormat:
    """Tensors named after the model's modules, as PEFT names them: the base of most formats."""

    peft_type = ""  # of no adapter that is read
    prefix = "base_model.model."

    def claims(self, config: Mapping[str, Any]) -> bool:
        return True

    def to_file(self, adapter: Adapter) -> dict[str, Tensor]:
        return {self.prefix + name: tensor for name, tensor in adapter.tensors.items()}

    def from_file(self, tensors: Mapping[str, Tensor], settings: Any) -> dict[str, Tensor]:
        for name in tensors:
            require(name.startswith(self.prefix), f"tensor {name!r} does not begin with {self.prefix!r}")
        return {name.removeprefix(self.prefix): tensor for name, tensor in tensors.items()}

    def files(self, adapter: Adapter) -> Files:
        return {}

    def check(self, adapter: Adapter, attached: Attached) -> None:
        dtype = next(attached.model.parameters()).dtype
        for name, tensor in self.used(adapter):
            if not bool(torch.isfinite(tensor.to(dtype)).all()):
                raise AdapterError(f"tensor {name} is too large for {dtype}")

    def used(self, adapter: Adapter) -> Iterator[tuple[str, Tensor]]:
        """The tensors as the forward pass uses them, with their names for a sentence."""
        return ((repr(name), tensor) for name, tensor in adapter.tensors.items())


def put_in(folder: Path, adapter: Adapter, model: nn.Module, slot: str = ONLY) -> Attached:
    """`Adapter.put`, whose errors say the folder that the adapter was read from."""
    try:
        return adapter.put(model, slot)
    except AdapterError as error:
        if error.where:
            raise
        fix = error.fix or "Is it an adapter for this base?"
        raise AdapterError(error.what, where=str(folder), fix=fix) from error
