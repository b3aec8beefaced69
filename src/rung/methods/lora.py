"""LoRA (Hu et al. 2021, arXiv 2106.09685): a trained low-rank update next to a frozen weight.

What it computes is in `rung.methods.low_rank`, its options in `rung.methods.lora_settings` and its files in
`rung.methods.lora_format`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rung.compute.linears import Linear
from rung.methods.changes import Changes
from rung.methods.lora_format import LoraFormat
from rung.methods.lora_settings import LoraSettings
from rung.methods.low_rank import Clock, LowRankChange
from rung.methods.method import Method
from rung.methods.slots import ONLY
from rung.methods.targets import linear_layers


class Lora(Changes):
    """LoRA on a model; see `rung.methods.method.Attached`."""

    settings: LoraSettings

    def __init__(self, model: nn.Module, settings: LoraSettings, seed: int = 0, slot: str = ONLY) -> None:
        self._clock = Clock()
        self.asked = bool(settings.targets) or settings.top_layers is not None
        generator = torch.Generator().manual_seed(seed)
        found = linear_layers(model, settings.targets, settings.top_layers)

        def make(_name: str, layer: Linear) -> LowRankChange:
            return LowRankChange(layer, settings.rank, settings.scale, generator, self._clock)

        super().__init__(model, settings, found, make, slot)

    def named(self) -> dict[str, Tensor]:
        return {
            f"{name}.lora_{half}.weight": tensor
            for name, change in self.changes.items()
            for half, tensor in (("A", change.a), ("B", change.b))
        }

    def rates(self) -> list[float]:
        """LoRA+ (Hayou et al. 2024, arXiv 2402.12354): B may learn faster than A."""
        return [rate for _ in self.changes for rate in (1.0, self.settings.lora_plus)]

    def updated(self) -> None:
        self._clock.ticks += 1


LORA = Method(
    name="lora",
    title="LoRA",
    when="The default: close to full fine-tuning in quality, small, merged into the base without a cost.",
    Settings=LoraSettings,
    learning_rate=2e-3,
    attach=Lora,
    format=LoraFormat(),
)
