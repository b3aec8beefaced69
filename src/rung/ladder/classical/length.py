"""The floor of preferences: the longer answer, or the shorter one, whichever people chose more often.

Annotators often prefer length (Singhal et al. 2023, arXiv 2310.03716), so a model has to beat it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rung.data.rejected import REJECTED, is_pair
from rung.evaluation.tasks import KINDS
from rung.ladder.classical import fitted
from rung.ladder.classical.fitted import Fitted, graded
from rung.ladder.responder import Responder
from rung.records import Choice, Completion, Example, RungKind, Task

if TYPE_CHECKING:
    from rung.ladder.watch import Watcher

NAME, TITLE = "length", "the longer or the shorter answer"
KIND: RungKind = "floor"
_NAMES = {True: "the longer answer", False: "the shorter answer"}


def applies(task: Task) -> bool:
    """Whether answers are picked from the two of a row."""
    return KINDS[task.kind].pairs


@dataclass(frozen=True)
class Length(Responder):
    """Picks by the number of characters; of equals the first in alphabetical order, which says nothing."""

    longer: bool

    def answer(self, examples: Sequence[Example], watcher: Watcher | None = None) -> list[Completion]:
        """One answer for each example, in their order; none to a row that is no pair."""
        return [Completion(example.id, self._pick(example), tokens=0) for example in examples]

    def _pick(self, example: Example) -> str:
        if not is_pair(example):
            return ""
        ordered = sorted((example.target, str(example.facts[REJECTED])))
        return max(ordered, key=len) if self.longer else min(ordered, key=len)

    def save(self, folder: Path) -> None:
        """Write which of the two it is as JSON."""
        fitted.save(folder, NAME, {"longer": self.longer})


def load(folder: Path) -> Length:
    """What `Length.save` wrote. Raises `ResumeError` where a file is missing or was changed."""
    settings, _ = fitted.load(folder, NAME, longer=bool)
    return Length(settings["longer"])


def fit(task: Task, train: Sequence[Example], dev: Sequence[Example], seed: int = 0) -> Fitted[Length]:
    """The one that is right more often on train and dev."""
    known = (*train, *dev)

    def worth(longer: bool) -> float:
        return graded(task, known, [one.text for one in Length(longer).answer(known)]).value(task.primary)

    values = {longer: worth(longer) for longer in (True, False)}
    longer = values[True] >= values[False]
    choice = Choice("answer", _NAMES[longer], {_NAMES[one]: value for one, value in values.items()})
    return Fitted(Length(longer), (choice,))
