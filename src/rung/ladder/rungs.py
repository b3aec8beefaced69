"""The rungs, as data: what can be tried, cheapest first."""

from __future__ import annotations

from dataclasses import dataclass

from rung.config import Settings
from rung.registry import Registry


@dataclass(frozen=True, slots=True)
class Rung:
    """One thing to try."""

    name: str
    title: str  # for the screen
    order: int  # place on the ladder, cheapest first
    method: str = ""  # a name in METHODS; empty for prompting
    shots: bool = False  # whether the prompt carries examples

    @property
    def tunes(self) -> bool:
        return bool(self.method)


RUNGS: Registry[Rung] = Registry("rung")
for _rung in (
    Rung("zero-shot", "zero-shot prompting", 0),
    Rung("few-shot", "few-shot prompting", 1, shots=True),
    Rung("lora", "LoRA", 2, method="lora"),
    Rung("full", "full fine-tuning", 3, method="full"),
):
    RUNGS.add(_rung.name, _rung)


def asked_for(settings: Settings) -> list[Rung]:
    """The rungs of a climb, each once, cheapest first."""
    return sorted((RUNGS[name] for name in dict.fromkeys(settings.rungs)), key=lambda rung: rung.order)
