"""The product of a rung: an object that answers rows. The climb asks it for the test rows once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rung.ladder.watch import Watcher
    from rung.records import Completion, Example

Scores = NDArray[np.float64]


class Responder(ABC):
    """Answers rows, scores choices where it can, and saves itself.

    The rung that made it reads it back with `Rung.load`.
    """

    @abstractmethod
    def answer(self, examples: Sequence[Example], watcher: Watcher | None = None) -> list[Completion]:
        """One answer for each example, in their order. Targets are not looked at."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what is needed to answer again: JSON and safetensors, no pickle."""

    def score(self, examples: Sequence[Example], choices: Sequence[str]) -> Scores | None:
        """Log-probability (natural) of each choice as the whole answer, shape (examples, choices).

        None where the responder has no probabilities, as here.
        """
        return None

    def tokens(self, choices: Sequence[str]) -> list[int] | None:
        """How many tokens each choice has in `score`, its end of turn included; None where it has none."""
        return None

    def likelihoods(self, examples: Sequence[Example]) -> dict[str, tuple[float, float]]:
        """Example id -> nats a token of the row's own answer, to this model and to its base.

        Empty where there is no such pair, as here.
        """
        return {}

    def answer_and_score(
        self, examples: Sequence[Example], choices: Sequence[str]
    ) -> tuple[list[Completion], Scores | None]:
        """What `answer` says, and scores as `score` gives them; of one reading of the rows where that can be.

        Where the answer is picked by scores of the same choices, it has the highest one.
        """
        return self.answer(examples), self.score(examples, choices)
