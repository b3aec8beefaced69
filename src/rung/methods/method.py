"""What a tuning method is: a value with its settings, its defaults and what it promises.

`attach` puts it on a model and gives an `Attached`: parameters to train, a state, and ways to turn it off,
merge it and take it off. What it leaves behind is an `rung.methods.adapter.Adapter`, which needs no model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn
from transformers import PreTrainedModel

from rung.compute.ends import Below
from rung.errors import AdapterError, UsageError, nearest
from rung.methods.slots import ONLY, slots_of
from rung.records import Rendered

Files = dict[str, bytes | Callable[[Path], None]]  # name -> content, or what writes it


class MethodSettings(BaseModel):
    """What can be asked of a method; each has a class of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def encoded(self, encode: Callable[[str], Sequence[int]]) -> Self:
        """The same with the token ids of its texts, which `encode` gives: a method has no tokenizer."""
        return self


class Objective(Protocol):
    """A loss: nats, summed over the targets of rows."""

    def loss(self, model: PreTrainedModel, rows: Sequence[Rendered], below: Below | None = None) -> Tensor:
        """Of one pass, with gradient: a scalar. `below` holds what frozen first layers put out."""
        ...

    def count(self, rows: Sequence[Rendered]) -> int:
        """The number of targets."""
        ...

    def facts(self) -> dict[str, Any]:
        """What decides the weights besides rows and the settings of a training, as JSON values."""
        ...


class Attached(ABC):
    """A method that sits on a model in a slot; nothing but its own parameters gets a gradient.

    One slot of a model is on at a time; the newest at first.
    """

    settings: Any
    by_row = False  # whether a pass can have rows of other adapters besides its own

    def __init__(self, model: nn.Module, settings: Any, slot: str = ONLY) -> None:
        """Raises `UsageError` where the name of the slot is taken; the model is then untouched.

        A subclass raises `UsageError` for an option that does not fit the model, and `BaseModelError` where
        the model cannot take the method at all.
        The adapter that was on goes off. A subclass ends its own part with ``slots_of(model).take``.
        """
        slots_of(model).require_free(slot)
        slots_of(model).use(None)
        self.model: Any = model
        self.settings = settings
        self.slot = slot

    @abstractmethod
    def named(self) -> dict[str, Tensor]:
        """What the forward pass uses, by name: enough to answer as now. The tensors themselves."""

    @abstractmethod
    def parameters(self) -> list[nn.Parameter]:
        """What the optimizer updates, in fp32 (or the model's dtype if wider), in a fixed order."""

    @abstractmethod
    def switch(self, on: bool) -> None:
        """Put it into the forward pass, or leave it out; called by `slots_of(model)` alone."""

    @abstractmethod
    def remove(self) -> None:
        """Take it off the model, which is then as before; it is off."""

    def rates(self) -> list[float]:
        """For each of `parameters`, its share of the learning rate."""
        return [1.0] * len(self.parameters())

    def frozen_layers(self) -> int:
        """How many of the first decoder layers, with all below them, stay as the base's."""
        return 0

    def updated(self) -> None:  # noqa: B027  many have nothing to do
        """Call after the optimizer's step: brings the new values to where the forward pass reads them."""

    def learning(self, on: bool) -> None:  # noqa: B027
        """Passes of training begin or end: what is random in training (dropout) is so in between."""

    def before_pass(self, step: int, number: int) -> None:  # noqa: B027
        """Comes before each pass of training: what is random there follows from the step and the pass's
        number in it, so that a run that continues repeats it."""

    def begin(self, rows: Sequence[Rendered]) -> None:  # noqa: B027
        """Comes before the first step on the train `rows`, but not where a run continues: begin from data."""

    def check_asked(self) -> None:  # noqa: B027
        """Raises `UsageError` for options that make no sense on this base, though an adapter that was read
        may have them."""

    def objective(self) -> Objective | None:
        """What training makes small; None for the loss of the next token."""
        return None

    def state(self, copy: bool = True) -> dict[str, Tensor]:
        """What is `named`: a copy, or else the very tensors."""
        named = {name: tensor.detach() for name, tensor in self.named().items()}
        return {name: tensor.clone() for name, tensor in named.items()} if copy else named

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over a `state`. Raises `AdapterError` where names or shapes differ."""
        named = self.named()
        require_fit(named, state)
        with torch.no_grad():
            for name, tensor in named.items():
                tensor.copy_(state[name])
        self.updated()

    def scaled(self, name: str, tensor: Tensor, strength: float) -> Tensor:
        """`tensor`, called `name` in a state, of the same change times `strength`: 0 is the base.

        Raises `UsageError` for a method whose change cannot be scaled.
        """
        raise UsageError(
            f"what {type(self).__name__} changes cannot be scaled", fix="Train again at a lower learning rate"
        )

    def load_scaled(self, state: Mapping[str, Tensor], strength: float) -> None:
        """As `load`, with the whole change times `strength`: 0 is the base, 1 is `state` itself.

        Raises `UsageError` for a method whose change cannot be scaled.
        """
        self.load(state if strength == 1 else _Scaled(self, state, strength))

    def applied(self) -> dict[str, Any]:
        """The settings as used, for the record of the run."""
        return dict(self.settings.model_dump(mode="json"))

    def notes(self) -> tuple[str, ...]:
        """Sentences on how it fits this base, for the notes of a run; none where there is nothing to say."""
        return ()

    def facts(self) -> dict[str, Any]:
        """What must be known of the base to write the adapter's files."""
        return {}

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """The plain base, for as long as the context lasts."""
        with slots_of(self.model).using(None):
            yield

    def merge(self) -> None:
        """Write the change into the base's weights; afterwards the model answers without the method.

        Raises `UsageError` for a method that cannot be merged.
        """
        raise UsageError(
            f"{type(self).__name__} cannot be merged into the base's weights",
            fix="Use the adapter next to its base",
        )

    def detach(self) -> None:
        """Take the method off: the model is the plain base again, bit for bit (unless merged)."""
        if slots_of(self.model).release(self):
            self.remove()


class _Scaled(Mapping[str, Tensor]):
    """A state with its change scaled; each tensor is made when it is asked for."""

    def __init__(self, attached: Attached, state: Mapping[str, Tensor], strength: float) -> None:
        self._attached, self._state, self._strength = attached, state, strength

    def __getitem__(self, name: str) -> Tensor:
        return self._attached.scaled(name, self._state[name], self._strength)

    def __iter__(self) -> Iterator[str]:
        return iter(self._state)

    def __len__(self) -> int:
        return len(self._state)


@dataclass(frozen=True, slots=True)
class Promises:
    """What the contract suite holds a method to."""

    identity_at_start: bool | None = True  # answers as the base until the first step; None: but for rounding
    mergeable: bool = True
    whole_model: bool = False  # its files are a complete model, which needs a tokenizer next to it
    few_bits: bool = True  # works on bases held in few bits (`rung.compute.quantized`)
    own_code: bool = True  # works on bases that are computed by their own code alone (`rung.compute.plain`)
    moves_base: bool = True  # what the base itself writes changes
    scalable: bool = False  # its change can be multiplied by a number after training: `Attached.scaled`


@dataclass(frozen=True, slots=True)
class Method:
    """A way of tuning, with the defaults that work for it and what it promises."""

    name: str
    title: str  # for the screen
    when: str  # a sentence: when to use it
    Settings: type[MethodSettings]
    learning_rate: float
    attach: Callable[..., Attached]  # (model, settings, seed=0, slot=...) -> Attached
    format: Any  # how its adapter is written and read: see `rung.methods.adapter.Format`
    promises: Promises = Promises()
    half_rate: float | None = None  # with the top half of the layers, which the ladder then tunes by default
    classifies: bool = False  # learns labels, which are among its settings, and not what the base writes
    prefers: bool = False  # learns from pairs of a chosen and a rejected answer (`rung.train.dpo`)

    def make(self, given: Mapping[str, Any]) -> Any:
        """Its settings. Raises `UsageError`, with the nearest name, for an option it does not have."""
        known = self.Settings.model_fields
        for option in given:
            if option not in known:
                raise UsageError(
                    f"{self.name} has no option {option!r}.{nearest(str(option), known)}",
                    fix=f"It has: {', '.join(known)}" if known else f"{self.name} has no options",
                )
        try:
            return self.Settings(**given)
        except ValidationError as error:
            first = error.errors()[0]
            name, why = str(first["loc"][0]), first["msg"].removeprefix("Value error, ")
            raise UsageError(
                f"{self.name}.{name} cannot be {given.get(name)!r}: {why}",
                fix=str(known[name].description or f"See `rung methods` for the options of {self.name}"),
            ) from None

    def takes(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the options `given` that it has."""
        return {name: value for name, value in given.items() if name in self.Settings.model_fields}


def require_fit(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Raises `AdapterError` unless `state` has the names and shapes of `own`; to be called before a copy."""
    if own.keys() != state.keys():
        odd = sorted(own.keys() ^ state.keys())
        raise AdapterError(f"{len(odd)} tensors are missing or unknown, such as {odd[0]}")
    for name, tensor in own.items():
        if tensor.shape != state[name].shape:
            raise AdapterError(f"{name} has shape {tuple(state[name].shape)}, not {tuple(tensor.shape)}")
