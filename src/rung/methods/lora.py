"""LoRA (Hu et al. 2021, arXiv 2106.09685): a trained low-rank update next to a frozen weight; and DoRA.

What it computes is in `rung.methods.low_rank` and `rung.methods.dora`, where it begins in
`rung.methods.starts`, its options in `rung.methods.lora_settings`, its files in `rung.methods.lora_format`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rung.compute.linears import Linear
from rung.compute.sites import site_of
from rung.errors import UsageError, nearest
from rung.methods.changes import Changes
from rung.methods.dora import DoraChange
from rung.methods.dropout import Dropout
from rung.methods.lora_format import DoraFormat, LoraFormat
from rung.methods.lora_settings import DoraSettings, LoraSettings, Settings
from rung.methods.low_rank import Clock, LowRankChange
from rung.methods.method import Method, Promises
from rung.methods.slots import ONLY
from rung.methods.starts import eva, pissa, require_room
from rung.methods.targets import ends_with, linear_layers
from rung.records import Rendered

_LENGTHS = ".lora_magnitude_vector"


class Lora(Changes):
    """LoRA on a model; see `rung.methods.method.Attached`."""

    settings: Settings
    changes: dict[str, LowRankChange]

    def __init__(self, model: nn.Module, settings: Settings, seed: int = 0, slot: str = ONLY) -> None:
        self._clock = Clock()
        self._seed = seed
        self._dropout = Dropout(settings.dropout, seed) if settings.dropout else None
        self.asked = bool(settings.targets) or settings.top_layers is not None
        generator, starts = (torch.Generator().manual_seed(seed) for _ in range(2))
        found = linear_layers(model, settings.targets, settings.top_layers)
        if settings.start == "pissa":
            for name, layer in found.items():
                require_room(name, layer, settings.rank_of(name))
        kind = DoraChange if settings.dora else LowRankChange

        def make(name: str, layer: Linear) -> LowRankChange:
            change = kind(layer, settings.rank_of(name), settings.scale_of(name), generator, self._clock)
            change.dropout, change.place = self._dropout, name
            if settings.start == "pissa":
                pissa(change, layer, starts)
            return change

        super().__init__(model, settings, found, make, slot)

    def named(self) -> dict[str, Tensor]:
        """By PEFT's names, and the start by names of our own."""
        found: dict[str, Tensor] = {}
        for name, change in self.changes.items():
            found |= {f"{name}.lora_A.weight": change.a, f"{name}.lora_B.weight": change.b}
            if isinstance(change, DoraChange):
                found[f"{name}{_LENGTHS}"] = change.m
            if change.start is not None:
                found |= {f"{name}.lora_A.start": change.start[0], f"{name}.lora_B.start": change.start[1]}
        return found

    def scaled(self, name: str, tensor: Tensor, strength: float) -> Tensor:
        """B alone is multiplied, so the update is; of DoRA, m moves from |W| too."""
        if name.endswith((".lora_B.weight", ".lora_B.start")):
            return tensor * strength
        if not name.endswith(_LENGTHS):
            return tensor
        change = self.changes[name.removesuffix(_LENGTHS)]
        assert isinstance(change, DoraChange)
        return torch.lerp(change.begun(), tensor.to(change.m.device), strength)

    def rates(self) -> list[float]:
        """LoRA+ (Hayou et al. 2024, arXiv 2402.12354): B may learn faster than A."""
        of_layer = (1.0, self.settings.lora_plus, *([1.0] if self.settings.dora else []))
        return [rate for _ in self.changes for rate in of_layer]

    def updated(self) -> None:
        self._clock.ticks += 1

    def begin(self, rows: Sequence[Rendered]) -> None:
        if self.settings.start == "eva":
            eva(self.model, self.changes, [row.ids for row in rows], self._seed)
            self.updated()

    def learning(self, on: bool) -> None:
        if self._dropout is not None:
            self._dropout.on = on

    def before_pass(self, step: int, number: int) -> None:
        if self._dropout is not None:
            self._dropout.step, self._dropout.number = step, number

    def check_asked(self) -> None:
        """Ranks and alphas are of layers that are there, and no rank that was asked for is above a width."""
        s = self.settings
        for name in (*s.ranks, *s.alphas):
            if not any(ends_with(full, name) for full in self.changes):
                known = sorted({full.rpartition(".")[2] for full in self.changes})
                raise UsageError(
                    f"no adapted layer is called {name!r}.{nearest(name, known)}",
                    fix=f"Adapted are: {', '.join(known)}",
                )
        sites = {name: site_of(self.model, name) for name in self.changes}
        narrow = sorted(sites, key=lambda name: min(sites[name].in_features, sites[name].out_features))
        for full in narrow:
            if "rank" in s.model_fields_set or any(ends_with(full, name) for name in s.ranks):
                require_room(full, sites[full].base, s.rank_of(full))


LORA = Method(
    name="lora",
    title="LoRA",
    when="The default: close to full fine-tuning in quality, small, merged into the base without a cost.",
    Settings=LoraSettings,
    learning_rate=1e-3,
    half_rate=2e-3,
    attach=Lora,
    format=LoraFormat(),
    promises=Promises(scalable=True),
)
DORA = Method(
    name="dora",
    title="DoRA",
    when="Where LoRA falls short of full fine-tuning, most of all at low ranks; its steps take longer.",
    Settings=DoraSettings,
    learning_rate=1e-3,
    half_rate=2e-3,
    attach=Lora,
    format=DoraFormat(),
    promises=Promises(scalable=True),
)
