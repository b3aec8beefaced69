"""What the prompting rungs share: several ways to ask are tried on dev, the best one answers."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from rung import cost
from rung.evaluation.tasks import KINDS
from rung.ladder.context import Context
from rung.ladder.prompt_forecast import Ask, prompt_seconds
from rung.ladder.responder import Responder
from rung.ladder.rungs.rung import Outcome, Rung
from rung.records import Quote, RungKind

if TYPE_CHECKING:
    from rung.ladder.retrieval import Pool
    from rung.ladder.ways import Way


class PromptRung(Rung):
    """Prompting; the weights stay as they are."""

    kind: RungKind = "prompt"
    method = "prompt"

    @abstractmethod
    def ways(self, context: Context) -> list[Way]:
        """The ways to ask, the cheapest first. Raises `UsageError` where there is none."""

    def further(self, context: Context, best: Way) -> list[Way]:
        """Ways that follow from the best of `ways`, tried against it."""
        return []

    def pool(self, context: Context, way: Way) -> Pool:
        """The train rows that `way` retrieves its examples from."""
        from rung.ladder.retrieval import Pool

        return Pool.of(context.prepared.split.train)

    @abstractmethod
    def asks(self, context: Context) -> list[Ask]:
        """Tokens of the prompts of each of `ways`."""

    def further_asks(self, context: Context) -> list[Ask]:
        """Tokens of the prompts of each of `further`."""
        return []

    def quote(self, context: Context) -> Quote:
        size = context.size
        stages = [self.asks(context), self.further_asks(context)]
        low, seconds, high = prompt_seconds(
            context.work, context.speeds, size, stages, KINDS[context.task.kind].pairs
        )
        return Quote(
            rung=self.name,
            fits=True,
            seconds=seconds,
            dev_rows=size.dev,
            test_rows=size.test,
            money=cost.money(seconds, context.settings.price_per_hour),
            low=low,
            high=high,
        )

    def run(self, context: Context, limit: float | None) -> Outcome:
        from rung.ladder.prompting import choose

        responder, choices = choose(
            context.prepared,
            self.name,
            self.ways(context),
            context.split.dev,
            context.watcher,
            lambda way: self.pool(context, way),
            lambda best: self.further(context, best),
            context.library,
        )
        allowed = {"max_new_tokens": context.prepared.max_new_tokens}
        return Outcome(responder, choices=choices, applied=allowed)

    def load(self, folder: Path) -> Responder:
        from rung.ladder.prompting import load

        return load(folder)
