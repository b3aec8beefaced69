"""What can be asked of LoRA and its relatives."""

from __future__ import annotations

import math

from pydantic import Field

from rung.methods.method import MethodSettings, Names

MOST_ALPHA = 1e6  # so that alpha / r times a weight stays a number in fp32
LEAST_ALPHA = 1e-6  # less would not be felt
MOST_RANK = 4096


class LoraSettings(MethodSettings):
    """What can be asked of LoRA."""

    rank: int = Field(default=16, ge=1, le=MOST_RANK, description="Rows of A and columns of B.")
    alpha: float = Field(
        default=32.0, ge=LEAST_ALPHA, le=MOST_ALPHA, description="The update is scaled by alpha / rank."
    )
    rslora: bool = Field(default=False, description="Scale by alpha / sqrt(rank) instead.")
    lora_plus: float = Field(
        default=1.0, gt=0, le=1000, description="LoRA+: learning rate of B over that of A."
    )
    targets: Names = Field(default=(), description="Names of the linear layers to adapt; all if not given.")
    top_layers: int | None = Field(default=None, ge=1, description="Adapt only so many of the last layers.")

    @property
    def scale(self) -> float:
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)
