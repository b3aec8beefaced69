"""The rungs, as data: what can be tried, cheapest first."""

from __future__ import annotations

from dataclasses import dataclass

from rung.config import Settings
from rung.errors import UsageError, nearest
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


def rung_of(method: str) -> Rung:
    """The rung that tunes with `method`. Raises `UsageError` that names the nearest known one."""
    known = {rung.method: rung for _, rung in RUNGS.items() if rung.tunes}
    if method not in known:
        raise UsageError(
            f"unknown method {method!r}.{nearest(method, known)}", fix=f"Known: {', '.join(known)}"
        )
    return known[method]


def asked_for(settings: Settings) -> list[Rung]:
    """The rungs of a climb, each once, cheapest first; with a method, only the tuned rung that uses it.

    Raises `UsageError` for an unknown method, or where nothing is left.
    """
    only = rung_of(settings.method) if settings.method else None
    named = [RUNGS[name] for name in dict.fromkeys(settings.rungs)]
    rungs = [rung for rung in named if only is None or not rung.tunes or rung is only]
    if not rungs:
        raise UsageError(
            f"no rung is left with the method {settings.method!r}", fix="Leave out --rungs or --method"
        )
    return sorted(rungs, key=lambda rung: rung.order)
