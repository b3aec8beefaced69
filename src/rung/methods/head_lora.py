"""A classifier head with LoRA below it: the head begins as a linear probe, then both are trained.

"Linear probe, then fine-tune" (Kumar et al. 2022, arXiv 2202.10054). See `rung.methods.head` and
`rung.methods.lora`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from torch import Tensor, nn

from rung.methods.adapter import Adapter, require
from rung.methods.head import (
    OF_A_HEAD,
    SCORE,
    SEQUENCE,
    Classifies,
    HeadFormat,
    LabelFormat,
    LabelHead,
    labels_in,
    require_labels,
)
from rung.methods.lora import Lora
from rung.methods.lora_format import LoraFormat
from rung.methods.lora_settings import LoraSettings
from rung.methods.method import Attached, Method, Promises
from rung.methods.slots import ONLY
from rung.setting_values import Names


class HeadLoraSettings(LoraSettings):
    """What can be asked of a head with LoRA below it."""

    labels: Names = Field(default=(), description="The labels; a climb gives those of its task.")
    head_rate: float = Field(
        default=0.1, gt=0, le=1000, description="Learning rate of the head over that of A and B."
    )


class HeadLora(Classifies, Lora):
    """A head and LoRA on a model; see `rung.methods.method.Attached`."""

    settings: HeadLoraSettings

    def __init__(self, model: Any, settings: HeadLoraSettings, seed: int = 0, slot: str = ONLY) -> None:
        require_labels(settings.labels)
        super().__init__(model, settings, seed, slot)
        self.head = LabelHead(model, len(settings.labels))

    def named(self) -> dict[str, Tensor]:
        return super().named() | {SCORE: self.head.weight}

    def parameters(self) -> list[nn.Parameter]:
        return [*super().parameters(), self.head.weight]

    def scaled(self, name: str, tensor: Tensor, strength: float) -> Tensor:
        """Refused: the head has learned from the states as they are."""
        return Attached.scaled(self, name, tensor, strength)

    def rates(self) -> list[float]:
        return [*super().rates(), self.settings.head_rate]


class HeadLoraFormat(LabelFormat, LoraFormat):
    """PEFT's LoRA of a sequence classification."""

    def config(self, adapter: Adapter) -> dict[str, Any]:
        return super().config(adapter) | {"task_type": SEQUENCE, "modules_to_save": ["score"]}

    def claims(self, config: Mapping[str, Any]) -> bool:
        return config.get("task_type") == SEQUENCE and not HeadFormat().claims(config)

    def settings(self, config: Mapping[str, Any]) -> HeadLoraSettings:
        require(not config.get("use_dora"), "use_dora is set, which rung does not compute below a head")
        below = super().settings({name: value for name, value in config.items() if name not in OF_A_HEAD})
        return HeadLoraSettings(**below.model_dump(), labels=labels_in(config))


METHOD = Method(
    name="head-lora",
    title="a classifier head over LoRA",
    when="Labels: as good as LoRA at fewer steps, and an answer is one pass over the prompt.",
    Settings=HeadLoraSettings,
    learning_rate=1e-3,
    attach=HeadLora,
    format=HeadLoraFormat(),
    promises=Promises(identity_at_start=False, mergeable=False),
    classifies=True,
)
