"""A probe: logistic regression on the frozen base's hidden states of every row."""

from __future__ import annotations

from pathlib import Path

from rung import cost
from rung.data.split import sample
from rung.ladder.classical import word_sets
from rung.ladder.context import Context
from rung.ladder.responder import Responder
from rung.ladder.rungs.rung import Outcome, Rung, register
from rung.records import Quote, RungKind, Task

MOST_ROWS = 5_000  # train rows that are read
FEWEST_ROWS = 200  # of these, also where reading them takes more than `READ_SHARE`
READ_SHARE = 0.12  # of the budget may be spent on reading train rows, once or in both ways
_PASS_TOKENS = 2048  # of a forward pass
_CHOOSING = 1_000  # rows that are read in both ways of showing them
_FIT_SECONDS, _ROW_SECONDS = 3.0, 0.005  # cross-validation and the last fit


class ProbeRung(Rung):
    """The base is read, not tuned: a few thousand weights are fitted on its hidden states."""

    name = "probe"
    title = "a probe on hidden states"
    kind: RungKind = "probe"

    def applies(self, task: Task) -> bool:
        return word_sets.applies(task)

    def quote(self, context: Context) -> Quote:
        size, work, budget = context.size, context.work, context.settings.budget
        # what rows share is read once in every pass
        row = work.tail_tokens * (1 + work.prefix_tokens / _PASS_TOKENS) / context.speeds.prefill
        train = min(len(context.split.train), MOST_ROWS)
        if budget is not None:
            reads = int(READ_SHARE * budget / row)
            train = min(train, max(FEWEST_ROWS, reads // 2, reads - _CHOOSING))
        known = train + size.dev
        reads = known + min(known, _CHOOSING) + size.test
        seconds = reads * row + _FIT_SECONDS + _ROW_SECONDS * known
        return Quote(
            self.name,
            fits=True,
            seconds=seconds,
            train_rows=train,
            dev_rows=size.dev,
            test_rows=size.test,
            money=cost.money(seconds, context.settings.price_per_hour),
        )

    def run(self, context: Context, limit: float | None) -> Outcome:
        from rung.ladder import set_probing

        split, seed = context.split, context.settings.seed
        train = sample(split.train, context.plan.quote(self.name).train_rows, seed)
        found = set_probing.fit(
            context.prepared, context.features, [*train, *split.dev], context.watcher, seed
        )
        notes = found.notes
        if len(train) < len(split.train):
            notes = (*notes, f"fitted on {len(train):,} of {len(split.train):,} train rows")
        return Outcome(found.responder, found.choices, notes=notes, trainable_parameters=found.parameters)

    def load(self, folder: Path) -> Responder:
        from rung.ladder import set_probing

        return set_probing.load(folder)


register(ProbeRung())
