"""rung: should you prompt or fine-tune? Climb the ladder on your own data and get a measured answer.

>>> import rung
>>> climbed = rung.climb("messages.csv", budget="15m")      # doctest: +SKIP
>>> print(climbed.verdict.sentence)                         # doctest: +SKIP

The public names are imported when they are first used, so that ``import rung`` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "climb", "evaluate", "load", "tune"]

_HOMES = {
    "climb": "rung.ladder.climb",
    "evaluate": "rung.ladder.compare",
    "load": "rung.bases.load",
    "tune": "rung.ladder.tune",
}

if TYPE_CHECKING:
    from rung.bases.load import load
    from rung.ladder.climb import climb
    from rung.ladder.compare import evaluate
    from rung.ladder.tune import tune


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rung' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
