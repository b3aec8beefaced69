"""The learning rate of a method on a base, where the user gave none.

The defaults of the methods were chosen on smollm2-135m-instruct, which is 576 wide. On a base of width d

    rate = default * min(1, (576 / d) ** power)

With Adam every entry of what is trained moves by about the rate in a step, and how far the outputs then move
depends on how many entries an output sums over:

- LoRA and other small matrices next to frozen weights: power 1/2. The largest stable rate of LoRA whose A is
  random and whose B is zero falls as d^(-1/2) (Hayou et al. 2024, arXiv 2406.08447).
- the weights themselves (full, freeze, the head): power 1 (muP, Yang et al. 2022, arXiv 2203.03466).
- vectors (biases, scales, soft prompts): power 0, from the same table of muP.

A narrower base keeps the default: rates are not raised without a measurement, since higher ones forget more.
Width is not all that decides. `rung.ladder.race` compares rates on dev, and `rung.ladder.guard` lowers one
that makes the base worse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rung.ladder.layers import are_few
from rung.methods.table import METHODS

if TYPE_CHECKING:
    from rung.ladder.prepare import Prepared
    from rung.methods.method import MethodSettings

WIDTH = 576  # of the base on which the defaults were chosen
_WEIGHTS = frozenset({"full", "freeze", "head"})
_VECTORS = frozenset({"bitfit", "ia3", "prompt", "prefix"})


def power_of(method: str) -> float:
    """How fast the rate falls with the width."""
    method = METHODS.plain(method)
    if method in _WEIGHTS:
        return 1.0
    return 0.0 if method in _VECTORS else 0.5


def factor(width: int, method: str) -> float:
    """What the default rate of `method` is multiplied by on a base of so many hidden units; 1 up to 576."""
    return float(min(1.0, (WIDTH / width) ** power_of(method)))


def rate_for(prepared: Prepared, method: str, asked: MethodSettings) -> float:
    """The peak learning rate of `method` with the settings `asked`, to three digits where it is not the
    default."""
    config: Any = prepared.base.model.config
    times = factor(int(config.get_text_config().hidden_size), method)
    half, rate = METHODS[method].half_rate, METHODS[method].learning_rate
    if half is not None and are_few(prepared, method, asked):
        rate = half
    return rate if times == 1 else float(f"{rate * times:.3g}")
