"""The adapter that was tuned on a mixture, on the test rows of each file; and every adapter as a start.

The rows are those that the file's own climb used, and so are its task and the length of answers. How labels
are answered is chosen on dev, as for an adapter of the file's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rung import cost, storage
from rung.data.split import sample
from rung.evaluation.judging import judge
from rung.ladder import forecast
from rung.ladder.context import Context
from rung.ladder.task import from_disk
from rung.ladder.watch import Watcher
from rung.records import Answer, Example, Measure, Result, from_json, to_json

_START_ROWS = 32  # dev rows on which a start is measured


@dataclass(frozen=True, slots=True)
class Scored:
    """What the adapter for all answered on one file."""

    mark: str  # of the adapter
    answers: tuple[Answer, ...]
    examples: tuple[Example, ...]
    measures: tuple[Measure, ...]  # the primary one first
    starts: Mapping[str, float] = field(default_factory=dict)  # adapter -> nats a token less than the base
    seconds: float = 0.0


def score(
    folder: Path, names: Sequence[str], rung: str, mixed: Result, watcher: Watcher, all_: str = "all"
) -> dict[str, Scored]:
    """File -> scores of the adapter in ``folder / all``; empty where there is none.

    What an earlier run of the command has scored is read, if the adapter is the same. Raises what answering
    raises.
    """
    adapter = folder / all_ / "adapters" / rung
    if mixed.status not in ("ok", "unfinished") or not adapter.is_dir():
        return {}
    found = {}
    for name in names:
        path = folder / all_ / "scores" / f"{name}.json"
        if path.exists():
            kept = from_json(Scored, storage.read_json(path), path.name)
            if kept.mark == mixed.finished:
                found[name] = kept
                continue
        others = {one: folder / one / "adapters" / rung for one in names if one != name}
        known = {one: where for one, where in others.items() if where.is_dir()}
        found[name] = _one(folder / name, adapter, known, mixed.finished, watcher)
        storage.write_json(path, to_json(found[name]))
    return found


def _one(folder: Path, adapter: Path, others: Mapping[str, Path], mark: str, watcher: Watcher) -> Scored:
    from rung.ladder.adapter import attach
    from rung.ladder.answer_by import WRITING, Answering
    from rung.ladder.tuned_dev import DevScores, choose_answer

    watch = cost.Stopwatch()
    context = from_disk(folder, watcher)
    prepared, task = context.prepared, context.task
    speaker, test = prepared.speaker, context.split.test
    attached, _ = attach(adapter, speaker)
    try:
        by = WRITING
        if task.labels:
            watcher.begin(folder.name, "choosing on dev")
            dev = DevScores(prepared, context.split.dev, forecast.MOST_CHOOSING_ROWS)
            by, _, _ = choose_answer(dev, speaker, True, watcher)
        watcher.begin(folder.name, "answering test rows with the adapter for all")
        ids = speaker.renderer.prompts(test, [one.prompt for one in test])
        said = Answering(speaker, by, prepared.max_new_tokens).answer(test, ids, watcher.rows)
    finally:
        attached.detach()
    judged = judge(task, test, said, context.settings.seed)
    starts = _starts(context, others)
    return Scored(mark, judged.answers, tuple(test), judged.metrics, starts, round(watch.seconds, 1))


def _starts(context: Context, others: Mapping[str, Path]) -> dict[str, float]:
    """Adapter of another file -> how much lower the loss on dev is with it than with the plain base, nats a
    token, before any training on this file; negative where it is a worse start."""
    from rung.ladder.adapter import attach
    from rung.train.loss import mean_loss

    prepared = context.prepared
    dev = sample(context.split.dev, _START_ROWS, context.settings.seed)
    rows, model = [prepared.rendered[one.id] for one in dev], prepared.base.model
    plain, found = mean_loss(model, rows), {}
    for name, adapter in others.items():
        attached, _ = attach(adapter, prepared.speaker)
        try:
            found[name] = round(plain - mean_loss(model, rows), 4)
        finally:
            attached.detach()
    return found
