"""Some of the weights: the top layers (freeze), or biases (BitFit, Ben Zaken et al. 2022, arXiv 2106.10199).

What is trained is part of the base itself, as in full fine-tuning; the files hold these weights alone. Of a
base without biases, such as Llama and its relatives, the weights of the norms are trained instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from torch import nn

from rung.compute import body
from rung.compute.names import layer_of
from rung.errors import BaseModelError
from rung.methods.adapter import Adapter, PlainFormat, require
from rung.methods.full import Full
from rung.methods.method import Method, MethodSettings, Promises
from rung.methods.peft_keys import refuse_others
from rung.methods.slots import ONLY
from rung.methods.targets import top_of


class FreezeSettings(MethodSettings):
    """What can be asked of freeze."""

    top_layers: int | None = Field(
        default=None, ge=1, description="So many of the last layers are trained; a quarter if not given."
    )


class BitFitSettings(MethodSettings):
    """BitFit has no options of its own."""


class Freeze(Full):
    """Full fine-tuning of the top layers; all below them stay as the base's."""

    def __init__(self, model: nn.Module, settings: FreezeSettings, seed: int = 0, slot: str = ONLY) -> None:
        count = settings.top_layers or max(1, body.depth(model) // 4)
        super().__init__(model, settings.model_copy(update={"top_layers": count}), seed, slot)

    def chosen(self, model: nn.Module, settings: FreezeSettings) -> dict[str, nn.Parameter]:
        named = dict(model.named_parameters())
        top = top_of(list(named), settings.top_layers or 1)
        self._first = min(top)
        return {name: weight for name, weight in named.items() if layer_of(name) in top}

    def frozen_layers(self) -> int:
        return self._first


class BitFit(Full):
    """The biases of a base, or the weights of its norms where it has none."""

    def chosen(self, model: nn.Module, settings: BitFitSettings) -> dict[str, nn.Parameter]:
        named = dict(model.named_parameters())
        biases = {name: weight for name, weight in named.items() if name.endswith(".bias")}
        found = biases or {name: weight for name, weight in named.items() if weight.ndim == 1}
        if not found:
            raise BaseModelError(
                f"{type(model).__name__} has neither biases nor norms that could be trained",
                fix="Take another method, such as lora",
            )
        return found


class SomeWeights(PlainFormat):
    """Weights of the base by their names; PEFT has no such format."""

    def __init__(self, peft_type: str, settings: type[MethodSettings]) -> None:
        self.peft_type = peft_type
        self._settings = settings

    def config(self, adapter: Adapter) -> dict[str, Any]:
        return dict(adapter.settings.model_dump(mode="json"))

    def settings(self, config: Mapping[str, Any]) -> MethodSettings:
        known = self._settings.model_fields
        refuse_others(config, set(known))
        given = {name: config[name] for name in known if name in config}
        fine = all(type(value) is int and value >= 1 for value in given.values())
        require(fine and len(given) == len(known), f"{', '.join(known)} cannot be {list(given.values())}")
        return self._settings(**given)


FREEZE = Method(
    name="freeze",
    title="the top layers",
    when="Much data and little time: what lies below the top layers is computed once for all epochs.",
    Settings=FreezeSettings,
    learning_rate=3e-4,
    attach=Freeze,
    format=SomeWeights("RUNG_FREEZE", FreezeSettings),
    promises=Promises(few_bits=False, scalable=True),
)
BITFIT = Method(
    name="bitfit",
    title="BitFit",
    when="Few rows, or many adapters: only biases are trained, or the norms where a base has none.",
    Settings=BitFitSettings,
    learning_rate=3e-3,
    attach=BitFit,
    format=SomeWeights("RUNG_BITFIT", BitFitSettings),
    promises=Promises(few_bits=False, scalable=True),
)
