"""What the prompting rungs share: several ways to ask are tried on dev, the best one answers."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from rung import cost
from rung.ladder.context import Context
from rung.ladder.forecast import prompt_seconds
from rung.ladder.responder import Responder
from rung.ladder.rungs.rung import Outcome, Rung
from rung.records import Quote, RungKind

if TYPE_CHECKING:
    from rung.ladder.prompting import Way


class PromptRung(Rung):
    """Prompting; the weights stay as they are."""

    kind: RungKind = "prompt"
    method = "prompt"
    choice: str  # what the choice between the ways is called

    @abstractmethod
    def ways(self, context: Context) -> list[Way]:
        """The ways to ask, the cheapest first. Raises `UsageError` where there is none."""

    @abstractmethod
    def tries(self, context: Context) -> tuple[int, int]:
        """Number of ways, and tokens that all prompts of the longest one share."""

    def quote(self, context: Context) -> Quote:
        size = context.size
        seconds = prompt_seconds(context.work, context.speeds, size, *self.tries(context))
        return Quote(
            rung=self.name,
            fits=True,
            seconds=seconds,
            dev_rows=size.dev,
            test_rows=size.test,
            money=cost.money(seconds, context.settings.price_per_hour),
        )

    def run(self, context: Context, limit: float | None) -> Outcome:
        from rung.ladder.prompting import choose

        responder, choices = choose(
            context.prepared, self.name, self.choice, self.ways(context), context.split.dev, context.watcher
        )
        return Outcome(responder, choices=choices)

    def load(self, folder: Path) -> Responder:
        from rung.ladder.prompting import load

        return load(folder)
