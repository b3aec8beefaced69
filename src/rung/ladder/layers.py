"""Which layers a method tunes where the user says nothing: all, or the top half at twice the rate.

It is the top half with LoRA and DoRA (`rung.methods.method.Method.half_rate`) where answers have a form:
labels, JSON, calls. What lies below is then computed once for all epochs (`rung.train.trunk`), so the same
time holds about twice as many epochs, and the base forgets less. With the same work it was better on tickets
and extraction, and all layers were better on translation (docs/defaults.md). Where the trunk cannot be kept,
all layers are tuned.

A row costs two forward passes of the body in each epoch where all layers are tuned. With the top share k it
costs 1 - k once, and 2 k in each epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rung.evaluation.tasks import KINDS
from rung.methods.table import METHODS

if TYPE_CHECKING:
    from rung.bases.base import Base
    from rung.ladder.prepare import Prepared
    from rung.methods.method import MethodSettings

SHARE = 0.5  # of the layers
_ASKED = ("top_layers", "targets", "ranks", "alphas")  # options that name layers


def usual_layers(prepared: Prepared, method: str, asked: MethodSettings) -> int | None:
    """The number of top layers that `method` tunes; None for what its settings `asked` say."""
    if METHODS[method].half_rate is None or any(getattr(asked, name, None) for name in _ASKED):
        return None
    if KINDS[prepared.task.kind].any_text:
        return None
    base = prepared.base
    if base.route.path != "fused" or base.device.type != "cpu":
        return None
    return round(SHARE * depth_of(base)) or None


def are_few(prepared: Prepared, method: str, asked: MethodSettings) -> bool:
    """Whether at most half of the layers are tuned, by default or as asked."""
    layers: int | None = usual_layers(prepared, method, asked) or getattr(asked, "top_layers", None)
    return layers is not None and layers <= SHARE * depth_of(prepared.base)


def depth_of(base: Base) -> int:
    """The number of decoder layers."""
    config: Any = base.model.config
    return int(config.get_text_config().num_hidden_layers)


def epochs_of_all(epochs: float) -> float:
    """The epochs with all layers that take as long as `epochs` with the top half."""
    return max(0.1, round((1 - SHARE) / 2 + SHARE * epochs, 1))
