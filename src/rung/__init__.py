"""rung: should you prompt or fine-tune? Climb the ladder on your own data and get a measured answer.

>>> import rung
>>> climbed = rung.climb("messages.csv", budget="15m")      # doctest: +SKIP
>>> print(climbed.verdict.sentence)                         # doctest: +SKIP
>>> rung.load(climbed.folder).answer(["Where is my bill?"])  # doctest: +SKIP

The public names are imported when they are first used, so that ``import rung`` stays light. It sets how
OpenMP's threads wait, which works only before torch is imported; see `rung.threads`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rung import threads as _threads  # noqa: F401  before torch: sets how its threads wait

__version__ = "0.1.0"
__all__ = ["__version__", "check", "climb", "evaluate", "load", "tune"]

_HOMES = {
    "check": "rung.api",
    "climb": "rung.api",
    "evaluate": "rung.api",
    "load": "rung.api",
    "tune": "rung.api",
}

if TYPE_CHECKING:
    from rung.api import check, climb, evaluate, load, tune


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rung' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
