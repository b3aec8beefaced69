"""The product of a rung: an object that answers rows. The climb asks it for the test rows once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rung.ladder.watch import Watcher
from rung.records import Completion, Example


class Responder(Protocol):
    """Answers rows, scores choices where it can, and saves itself.

    The rung that made it reads it back with `Rung.load`.
    """

    def answer(self, examples: Sequence[Example], watcher: Watcher | None = None) -> list[Completion]:
        """One answer for each example, in their order. Targets are not looked at."""
        ...

    def score(self, examples: Sequence[Example], choices: Sequence[str]) -> NDArray[np.float64] | None:
        """Log-probability (natural) of each choice as the whole answer, shape (examples, choices).

        None where the responder has no probabilities.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write what is needed to answer again: JSON and safetensors, no pickle."""
        ...
