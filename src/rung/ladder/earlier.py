"""What earlier climbs left in a run folder: which rungs are done, and a plan that goes on from theirs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from rung.ladder.forecast import Size
from rung.ladder.plan import Plan
from rung.ladder.rungs import RUNGS, Rung, place
from rung.records import Result, RunInfo, from_json
from rung.storage import RunFolder, read_json

LACKED_TIME = ("skipped", "unfinished")  # what another budget may change


@dataclass(frozen=True, slots=True)
class Earlier:
    """The plan, the results and the facts of a run folder, as the last climb left them."""

    plan: Plan | None = None
    info: RunInfo | None = None
    results: dict[str, Result] = field(default_factory=dict)

    @property
    def rungs(self) -> list[Rung]:
        """The rungs that have a result."""
        return [rung for name, rung in RUNGS.items() if name in self.results]

    def done(self, rung: Rung, budget: float | None) -> Result | None:
        """The result of `rung` if it stands: not where it failed, or where time was short and `budget` is
        another one."""
        result = self.results.get(rung.name)
        if result is None or result.status == "failed":
            return None
        other = self.plan is None or self.plan.budget != budget
        return None if other and result.status in LACKED_TIME else result

    def same_rows(self, split: str) -> bool:
        """Whether the parts were those with the fingerprint `split`."""
        return self.info is None or self.info.data.get("split", split) == split


def read_earlier(folder: RunFolder) -> Earlier:
    """What is in `folder`; nothing where no climb has begun there. Raises `DataError` for damaged files."""
    plan, info = folder.file("plan.json"), folder.file("run.json")
    results = [
        from_json(Result, read_json(path), path.name) for path in folder.file("results").glob("*.json")
    ]
    return Earlier(
        plan=from_json(Plan, read_json(plan), plan.name) if plan.exists() else None,
        info=from_json(RunInfo, read_json(info), info.name) if info.exists() else None,
        results={result.rung: result for result in results},
    )


def go_on(
    old: Plan,
    pending: Sequence[Rung],
    budget: float | None,
    most: Size,
    make: Callable[[Sequence[Rung], Size], Plan],
) -> Plan:
    """The plan for the `pending` rungs of a climb that has begun; `old` itself where it still holds.

    Dev and test stay the rows that the finished rungs were measured on. `most` are the largest sizes that
    the data allow, `make` plans some rungs within some sizes.
    """
    known = {quote.rung: quote for quote in old.quotes}
    new = any(rung.name not in known or known[rung.name].failed for rung in pending)
    if not pending or (old.budget == budget and not new):
        return old
    largest = old.size if old.budget == budget else most
    found = make(pending, replace(largest, dev=old.dev_rows, test=old.test_rows))
    quotes = known | {quote.rung: quote for quote in found.quotes}
    on_base = found if found.step_tokens else old  # whose sizes of training hold
    same_rows = (found.dev_rows, found.test_rows) == (old.dev_rows, old.test_rows)
    return replace(
        on_base,
        quotes=tuple(quotes[name] for name in sorted(quotes, key=lambda name: place(RUNGS[name]))),
        dev_rows=old.dev_rows,
        test_rows=old.test_rows,
        budget=budget,
        setup_seconds=found.setup_seconds,
        notes=found.notes if same_rows else old.notes,
    )


def drop_checkpoints(folder: RunFolder, old: Plan, new: Plan, pending: Sequence[Rung]) -> None:
    """Delete checkpoints of `pending` rungs that were made with other sizes than `new` has."""
    sizes = [(one.train_rows, one.epochs, one.step_tokens, one.pack_tokens) for one in (old, new)]
    if sizes[0] != sizes[1]:
        for rung in pending:
            shutil.rmtree(folder.file("checkpoints", rung.name), ignore_errors=True)
