"""The tuned rungs that learn from preference pairs: DPO with the method of another rung."""

from __future__ import annotations

from rung.evaluation.tasks import KINDS
from rung.ladder.context import Context
from rung.ladder.rungs.tune import TuneRung
from rung.records import Quote, Task


class PairRung(TuneRung):
    """Tuning with a method of preference pairs. Its loss on dev is of pairs too, and costs one pass."""

    def applies(self, task: Task) -> bool:
        return bool(KINDS[task.kind].pairs or task.facts.get("pairs"))

    def offered(self, task: Task | None) -> bool:
        """Where pairs are what is measured; for another task on rows with pairs it has to be named."""
        return super().offered(task) and (task is None or KINDS[task.kind].pairs)

    def quote(self, context: Context) -> Quote:
        if not context.prepared.others:
            return Quote(self.name, fits=False, why="no row has a rejected answer next to its chosen one")
        return super().quote(context)
