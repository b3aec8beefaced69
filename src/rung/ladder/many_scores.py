"""The adapter that was tuned on a mixture, on the test rows of each file; and every adapter as a start.

The rows are those that the file's own adapter answered, and so are the task and the length of answers. How
labels are answered is chosen on dev, as for an adapter of the file's own.

Under a budget the files share the time that is left, each at the pace that its own climb has shown. Where it
is short, the starts are left out first, then test rows, but never below the fewest, then the choice on dev
(labels are answered as the file's own adapter answers them). A file for which not even the fewest rows fit is
not measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rung import cost, storage
from rung.data.split import sample
from rung.evaluation.judging import judge
from rung.ladder import forecast
from rung.ladder.context import Context
from rung.ladder.many_time import START_ROWS, Pace
from rung.ladder.task import from_disk
from rung.ladder.watch import Watcher
from rung.records import Answer, Completion, Example, Measure, Result, from_json, to_json

if TYPE_CHECKING:
    from rung.bases.base import Base
    from rung.ladder.answer_by import AnswerBy, Answering

_CAUTION = 0.9  # of the time that is left is used for the rows after the fewest


@dataclass(frozen=True, slots=True)
class Scored:
    """What the adapter for all answered on one file."""

    mark: str  # of the adapter
    answers: tuple[Answer, ...]
    examples: tuple[Example, ...]
    measures: tuple[Measure, ...]  # the primary one first
    starts: Mapping[str, float] = field(default_factory=dict)  # adapter -> nats a token less than the base
    seconds: float = 0.0
    notes: tuple[str, ...] = ()  # what there was no time for


class Time:
    """Seconds for scoring; None for as many as it takes."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds, self.watch = seconds, cost.Stopwatch()

    @property
    def left(self) -> float | None:
        return None if self.seconds is None else max(0.0, self.seconds - self.watch.seconds)

    def has(self, seconds: float) -> bool:
        return self.left is None or seconds <= self.left


def score(
    folder: Path,
    paces: Mapping[str, Pace],
    rung: str,
    mixed: Result,
    watcher: Watcher,
    seconds: float | None = None,
    all_: str = "all",
) -> dict[str, Scored]:
    """File -> scores of the adapter in ``folder / all``, for the files in `paces`; empty where there is none.

    At most `seconds` are used; a file for which there is no time is not in the result. What an earlier run of
    the command has scored is read, if the adapter is the same, and its seconds count. Raises what answering
    raises.
    """
    adapter = folder / all_ / "adapters" / rung
    if mixed.status not in ("ok", "unfinished") or not adapter.is_dir():
        return {}
    found, paths = {}, {name: folder / all_ / "scores" / f"{name}.json" for name in paces}
    for name, path in paths.items():
        if path.exists():
            kept = from_json(Scored, storage.read_json(path), path.name)
            if kept.mark == mixed.finished:
                found[name] = kept
    time = Time(None if seconds is None else seconds - sum(one.seconds for one in found.values()))
    new = [name for name in paces if name not in found]
    scoring = _Scoring(adapter, mixed.finished, watcher)
    for place, name in enumerate(new):
        pace = paces[name]
        if time.left == 0 or not time.has(pace.row * pace.fewest):
            continue  # another file may have fewer rows, or shorter ones
        share = Time(None if time.left is None else time.left / (len(new) - place))
        others = {one: folder / one / "adapters" / rung for one in paces if one != name}
        known = {one: where for one, where in others.items() if where.is_dir()}
        found[name] = scoring.of(folder / name, rung, known, pace, share)
        storage.write_json(paths[name], to_json(found[name]))
    return {name: found[name] for name in paces if name in found}


class _Scoring:
    """The adapter for all; the base is loaded once for all files."""

    def __init__(self, adapter: Path, mark: str, watcher: Watcher) -> None:
        self.adapter, self.mark, self.watcher = adapter, mark, watcher
        self.base: Base | None = None

    def of(self, folder: Path, rung: str, others: Mapping[str, Path], pace: Pace, time: Time) -> Scored:
        """The scores on the file whose climb is in `folder`, in about ``time.left`` seconds."""
        from rung.ladder.adapter import attach
        from rung.ladder.answer_by import Answering

        watcher, notes = self.watcher, list[str]()
        context = from_disk(folder, watcher, self.base)
        prepared, task = context.prepared, context.task
        self.base = prepared.base
        speaker = prepared.speaker
        attached, _ = attach(self.adapter, speaker)
        try:
            by = self._way(context, rung, pace, time, notes)
            watcher.begin(folder.name, "answering test rows with the adapter for all")
            answering = Answering(speaker, by, prepared.max_new_tokens)
            test, said = self._answered(context, answering, pace, time)
        finally:
            attached.detach()
        if len(test) < pace.rows:
            notes.append(f"the adapter for all answered {len(test):,} of {pace.rows:,} test rows")
        judged = judge(task, test, said, context.settings.seed)
        starts: dict[str, float] = {}
        if others and time.has(pace.starts):
            starts = _starts(context, others)
        elif others:
            notes.append("adapters as starts were not measured")
        seconds = round(time.watch.seconds, 1)
        return Scored(self.mark, judged.answers, tuple(test), judged.metrics, starts, seconds, tuple(notes))

    def _way(self, context: Context, rung: str, pace: Pace, time: Time, notes: list[str]) -> AnswerBy:
        """How labels are answered: the best way on dev; without time for that, as the own adapter does."""
        from rung.ladder.answer_by import WRITING, AnswerBy
        from rung.ladder.prompting import FILE
        from rung.ladder.tuned_dev import DevScores, choose_answer
        from rung.methods.origin import ANSWER_BY

        if not context.task.labels:
            return WRITING
        if time.has(pace.choosing + pace.row * pace.fewest):
            self.watcher.begin(context.folder.path.name, "choosing on dev")
            dev = DevScores(context.prepared, context.split.dev, forecast.MOST_CHOOSING_ROWS)
            return choose_answer(dev, context.prepared.speaker, True, self.watcher)[0]
        notes.append("the adapter for all answers as the file's own does, without a choice on dev")
        saved = context.folder.file("answer", rung, FILE)
        value = storage.read_object(saved) if saved.is_file() else {}
        return from_json(AnswerBy, value.get(ANSWER_BY, {}), FILE)

    def _answered(
        self, context: Context, answering: Answering, pace: Pace, time: Time
    ) -> tuple[tuple[Example, ...], list[Completion]]:
        """Test rows and their answers: as many as fit. The fewest first: they show the pace of the others."""
        every = context.sampled(context.split.test, pace.rows)
        found: list[Completion] = []
        if time.left is not None and pace.fewest < len(every):
            watch = cost.Stopwatch()
            found = self._said(answering, context.sampled(context.split.test, pace.fewest))
            row = watch.seconds / pace.fewest
            more = int(_CAUTION * time.left / max(row, 1e-9))
            every = context.sampled(context.split.test, min(pace.rows, pace.fewest + more))
        said = {one.example_id: one for one in found}
        rest = [one for one in every if one.id not in said]
        said |= {one.example_id: one for one in self._said(answering, rest)}
        return every, [said[one.id] for one in every]

    def _said(self, answering: Answering, rows: Sequence[Example]) -> list[Completion]:
        if not rows:
            return []
        ids = answering.speaker.renderer.prompts(rows, [one.prompt for one in rows])
        return answering.answer(rows, ids, self.watcher.rows)


def _starts(context: Context, others: Mapping[str, Path]) -> dict[str, float]:
    """Adapter of another file -> how much lower the loss on dev is with it than with the plain base, nats a
    token, before any training on this file; negative where it is a worse start."""
    from rung.ladder.adapter import attach
    from rung.train.loss import mean_loss

    prepared = context.prepared
    dev = sample(context.split.dev, START_ROWS, context.settings.seed)
    rows, model = [prepared.rendered[one.id] for one in dev], prepared.base.model
    plain, found = mean_loss(model, rows), {}
    for name, adapter in others.items():
        attached, _ = attach(adapter, prepared.speaker)
        try:
            found[name] = round(plain - mean_loss(model, rows), 4)
        finally:
            attached.detach()
    return found
