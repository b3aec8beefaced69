"""What can be asked of LoRA and its relatives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from rung.methods.method import MethodSettings
from rung.methods.targets import ends_with
from rung.setting_values import Names, pairs_in

MOST_ALPHA = 1e6  # so that alpha / r times a weight stays a number in fp32
LEAST_ALPHA = 1e-6  # less would not be felt
MOST_RANK = 4096
T = TypeVar("T")


def _pairs(value: Any) -> Any:
    """``"q_proj=4,down_proj=32"`` as a mapping."""
    if not isinstance(value, str):
        return value
    otherwise = "write names of layers and numbers, such as q_proj=4,down_proj=32"
    return pairs_in(value.split(","), otherwise)


Rank = Annotated[int, Field(ge=1, le=MOST_RANK)]
Alpha = Annotated[float, Field(ge=LEAST_ALPHA, le=MOST_ALPHA)]


class LowRankSettings(MethodSettings):
    """What can be asked of both."""

    rank: Rank = Field(default=16, description="Rows of A and columns of B.")
    alpha: Alpha = Field(default=32.0, description="The update is scaled by alpha / rank.")
    ranks: Annotated[dict[str, Rank], BeforeValidator(_pairs)] = Field(
        default={}, description="Other ranks by name of the layer, such as q_proj=4,down_proj=32."
    )
    alphas: Annotated[dict[str, Alpha], BeforeValidator(_pairs)] = Field(
        default={}, description="Other alphas by name of the layer."
    )
    rslora: bool = Field(default=False, description="Scale by alpha / sqrt(rank) instead.")
    lora_plus: float = Field(
        default=1.0, gt=0, le=1000, description="LoRA+: learning rate of B over that of A."
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Share of what A reads that is left out in training."
    )
    start: Literal["default", "pissa", "eva"] = Field(
        default="default",
        description="Where A and B begin: default, pissa (the largest singular values of the weight) or eva "
        "(what the layer reads most in the train rows).",
    )
    targets: Names = Field(
        default=(),
        description="Names of the linear layers to adapt, or all-linear, attention or mlp; all if not given.",
    )
    top_layers: int | None = Field(default=None, ge=1, description="Adapt only so many of the last layers.")

    @field_validator("start")
    @classmethod
    def _room_in_the_file(cls, value: str, info: ValidationInfo) -> str:
        highest = max(info.data.get("rank", 0), *info.data.get("ranks", {}).values(), 0)
        if value == "pissa" and 2 * highest > MOST_RANK:
            raise ValueError(f"it is written with twice the rank, which can be at most {MOST_RANK}")
        return value

    @property
    def scale(self) -> float:
        """Where no layer has a rank or an alpha of its own."""
        return self.alpha / self._divisor(self.rank)

    def rank_of(self, layer: str) -> int:
        """The rank at the layer with this full name."""
        return first_match(self.ranks, layer, self.rank)

    def alpha_of(self, layer: str) -> float:
        return first_match(self.alphas, layer, self.alpha)

    def scale_of(self, layer: str) -> float:
        return self.alpha_of(layer) / self._divisor(self.rank_of(layer))

    def _divisor(self, rank: int) -> float:
        return math.sqrt(rank) if self.rslora else rank


class LoraSettings(LowRankSettings):
    """What can be asked of LoRA."""

    dora: bool = Field(default=False, description="Train the length of each row of a weight apart: DoRA.")


class DoraSettings(LowRankSettings):
    """What can be asked of DoRA."""

    dora: ClassVar[bool] = True


Settings = LoraSettings | DoraSettings


def first_match(by_name: Mapping[str, T], layer: str, usual: T) -> T:
    """The value of the first name that the full name of `layer` ends with, as PEFT reads its patterns."""
    return next((value for name, value in by_name.items() if ends_with(layer, name)), usual)
