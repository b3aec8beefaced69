"""The bound on forgetting (`--max-forgetting`): which rungs are above it, and how that is said.

A rung above the bound is never recommended, and nothing is compared with it: the user has ruled it out. Pure:
no model, no files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rung import numbers
from rung.records import Result


def forgot(result: Result) -> float | None:
    """What a tuned rung forgot, in nats a token; None where that was not measured, or nothing was tuned."""
    return next((one.value for one in result.forgetting if one.name == "kl"), None)


def above(results: Iterable[Result], most: float | None) -> dict[str, float]:
    """The rungs that forgot more than `most`, and how much, both in nats a token; none without a bound.

    A rung that forgot exactly `most` keeps the bound. What was not measured is not above it.
    """
    if most is None:
        return {}
    known = {one.rung: kl for one in results if (kl := forgot(one)) is not None}
    return {rung: kl for rung, kl in known.items() if not kl <= most}


def too_much(kl: float, most: float) -> str:
    """``it forgot 1.20 nats a token, at most 0.5 were allowed``."""
    return f"it forgot {amount(kl, most)} nats a token, at most {most:g} were allowed"


def all_too_much(named: Mapping[str, float], most: float) -> str:
    """``LoRA forgot 1.20 and full fine-tuning 0.90 nats a token, and at most 0.5 were allowed``."""
    (first, kl), *rest = named.items()
    parts = [f"{first} forgot {amount(kl, most)}", *(f"{name} {amount(x, most)}" for name, x in rest)]
    return f"{numbers.listed(parts)} nats a token, and at most {most:g} were allowed"


def amount(kl: float, most: float) -> str:
    """`kl` with so many digits that it reads as more than `most`."""
    text = numbers.significant(kl)
    plain = text.lstrip("<").replace(",", "")
    return text if plain == numbers.ABSENT or float(plain) > most else f"{kl:.6g}"
