"""A probe: logistic regression on what the frozen base makes of every row."""

from __future__ import annotations

from pathlib import Path

from rung import cost
from rung.data.split import sample
from rung.ladder.context import Context
from rung.ladder.responder import Responder
from rung.ladder.rungs.rung import Outcome, Rung, register
from rung.records import Quote, RungKind, Task

MOST_ROWS = 5_000  # train rows that are read
_CHOOSING = 1_000  # rows read twice more, once for each way of showing them
_FIT_SECONDS, _ROW_SECONDS = 3.0, 0.005  # of cross-validation and the fit, beside reading


class ProbeRung(Rung):
    """The base is read, not tuned: a few thousand weights are fitted on its hidden states."""

    name = "probe"
    title = "a probe on hidden states"
    kind: RungKind = "probe"

    def applies(self, task: Task) -> bool:
        return bool(task.labels)

    def quote(self, context: Context) -> Quote:
        size, work = context.size, context.work
        train = min(len(context.split.train), MOST_ROWS)
        known = train + len(context.split.dev)
        choosing = min(known, _CHOOSING)
        reads = (known + size.test + 2 * choosing) * work.tail_tokens
        seconds = reads / context.speeds.prefill + _FIT_SECONDS + _ROW_SECONDS * known
        return Quote(
            self.name,
            fits=True,
            seconds=seconds,
            train_rows=train,
            dev_rows=len(context.split.dev),
            test_rows=size.test,
            money=cost.money(seconds, context.settings.price_per_hour),
        )

    def run(self, context: Context, limit: float | None) -> Outcome:
        from rung.ladder import probing

        split, seed = context.split, context.settings.seed
        train = sample(split.train, MOST_ROWS, seed)
        found = probing.fit(
            context.prepared, [*train, *split.dev], context.folder.file("features"), context.watcher, seed
        )
        notes = found.notes
        if len(train) < len(split.train):
            notes = (*notes, f"fitted on {len(train):,} of {len(split.train):,} train rows")
        return Outcome(found.responder, found.choices, notes=notes, trainable_parameters=found.parameters)

    def load(self, folder: Path) -> Responder:
        from rung.ladder import probing

        return probing.load(folder)


register(ProbeRung())
