"""Prompting: how to ask and how to read the answer are chosen on dev."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rung import storage
from rung.errors import BaseModelError
from rung.evaluation.label_rules import LabelRule, shares_of
from rung.evaluation.preferred import by_likelihood, picks, read_pairs
from rung.evaluation.run import Speaker
from rung.ladder import forms, library, retrieval
from rung.ladder.answer_by import AnswerBy, Answering
from rung.ladder.halving import FURTHER_ROWS, best_of
from rung.ladder.library import Library
from rung.ladder.prepare import Prepared
from rung.ladder.responder import Responder, Scores
from rung.ladder.retrieval import Pool
from rung.ladder.speaking import base_of, speaker_of
from rung.ladder.trials import Trial, trials_of
from rung.ladder.watch import Watcher
from rung.ladder.ways import Asker, Way, plain_speaker
from rung.records import Choice, Completion, Example, Task, from_json, to_json

FILE, POOL = "answer.json", "pool"
_COMPARED = 16  # rows on which prompts are compared token by token
Further = Callable[[Way], Sequence[Way]]
PoolOf = Callable[[Way], Pool]


@dataclass(frozen=True)
class Prompted(Responder):
    """A base that is asked in one way and whose answers are read in one way."""

    asker: Asker
    rule: LabelRule | None  # how a label is picked; None: the answer is written
    how: str  # the name of that
    max_new_tokens: int
    about: dict[str, Any]  # the base, as `base_of` writes it down

    @property
    def _answering(self) -> Answering:
        by = AnswerBy(self.how, self.asker.task.labels, self.rule)
        return Answering(self.asker.speaker, by, self.max_new_tokens, self.asker.task)

    def answer(self, examples: Sequence[Example], watcher: Watcher | None = None) -> list[Completion]:
        rows, ids = watcher.rows if watcher else None, self.asker.ids(examples)
        if picks(self.asker.task, examples):
            return by_likelihood(examples, read_pairs(self.asker.speaker, examples, ids, rows), self.how)
        return self._answering.answer(examples, ids, rows)

    def score(self, examples: Sequence[Example], choices: Sequence[str]) -> Scores | None:
        """As in `Responder`. Those of the task's labels add up to 1, and the best one is the answer."""
        return self._answering.score(self.asker.ids(examples), choices)

    def tokens(self, choices: Sequence[str]) -> list[int] | None:
        return self._answering.lengths(choices)

    def answer_and_score(
        self, examples: Sequence[Example], choices: Sequence[str]
    ) -> tuple[list[Completion], Scores | None]:
        """Both, of one reading of the prompts. An answer that is written need not be the best choice."""
        return self._answering.answer_and_score(examples, self.asker.ids(examples), choices)

    def save(self, folder: Path) -> None:
        value = {
            "way": to_json(self.asker.way),
            "how": self.how,
            "rule": None if self.rule is None else to_json(self.rule),
            "max_new_tokens": self.max_new_tokens,
            "room": self.asker.room,
            "task": to_json(self.asker.task),
            "base": self.about,
        }
        if self.asker.library is not None:
            value["library"] = self.asker.library.reference(folder)
        storage.write_folder(folder, {FILE: storage.as_json(value)})
        if self.asker.pool is not None:
            self.asker.pool.save(folder / POOL)


def load(folder: Path) -> Prompted:
    """What `Prompted.save` wrote. Raises `DataError`, `ResumeError` or `BaseModelError`."""
    storage.verify_folder(folder)
    value = storage.read_object(
        folder / FILE, task=dict, way=dict, base=dict, how=str, room=int, max_new_tokens=int
    )
    task, way = from_json(Task, value["task"], FILE), from_json(Way, value["way"], FILE)
    speaker = speaker_of(value["base"])
    pool = retrieval.load(folder / POOL, speaker, task) if way.retrieved else None
    known = library.of_reference(folder, value["library"]) if "library" in value else None
    if way.plain:
        speaker = plain_speaker(speaker, task)
    return Prompted(
        asker=Asker(speaker, task, way, value["room"], pool, known),
        rule=None if value["rule"] is None else from_json(LabelRule, value["rule"], FILE),
        how=value["how"],
        max_new_tokens=value["max_new_tokens"],
        about=value["base"],
    )


def choose(
    prepared: Prepared,
    rung: str,
    ways: Sequence[Way],
    dev: Sequence[Example],
    watcher: Watcher,
    pool_of: PoolOf,
    further: Further = lambda best: (),
    known: Library | None = None,
) -> tuple[Prompted, tuple[Choice, ...]]:
    """The best of `ways` on `dev`, then the best of it and of the ways that `further` makes from it.

    `pool_of` makes the pool that a way retrieves its examples from; ways with the same `similarity` share it.
    `known` is the library of ways that show passages.
    Each way is tried with answers that are written and, where the task has labels, with labels by their
    likelihood, or, where it has a form, with answers that keep to it; successive halving spends the rows
    (`rung.ladder.halving`). Of ways with the same prompts the
    first is tried. Of equals the first wins, and writing before likelihoods.
    """
    chosen = _Choosing(prepared, rung, dev, watcher, pool_of, known)
    best = best_of(chosen.trials(ways), len(dev))
    if more := further(best.asker.way):
        best = best_of([best, *chosen.trials(more, best.writes)], min(len(dev), FURTHER_ROWS))
    how = best.best()
    prompted = Prompted(best.asker, best.rules().get(how), how, prepared.max_new_tokens, base_of(prepared))
    return prompted, chosen.choices(best)


class _Choosing:
    """The trials of one rung: what has been tried so far."""

    def __init__(
        self,
        prepared: Prepared,
        rung: str,
        dev: Sequence[Example],
        watcher: Watcher,
        pool_of: PoolOf,
        known: Library | None = None,
    ) -> None:
        self.prepared, self.rung, self.watcher, self.pool_of = prepared, rung, watcher, pool_of
        self.known = known
        self.dev = list(dev)
        random.Random(f"dev {prepared.settings.seed}").shuffle(self.dev)
        self.tried: list[Trial] = []
        self._seen: set[tuple[tuple[int, ...], ...]] = set()
        self._speakers: dict[bool, Speaker | None] = {False: prepared.speaker}
        self._pools: dict[str, Pool] = {}
        targets = [example.target.strip() for example in prepared.split.train]
        self._constrained = forms.can_keep(prepared, watcher.say)
        self._shares = shares_of(prepared.task.labels, targets)

    def trials(self, ways: Sequence[Way], writes: bool | None = None) -> list[Trial]:
        """The trials of `ways` with prompts that have not been tried; `writes` as in `trials_of`."""
        found: list[Trial] = []
        for way in ways:
            asker = self._asker(way)
            if asker is None:
                continue
            prompts = tuple(map(tuple, asker.ids(self.dev[:_COMPARED])))
            if prompts in self._seen:
                continue
            self._seen.add(prompts)
            limit, kept = self.prepared.max_new_tokens, self._constrained
            found += trials_of(asker, self.dev, self._shares, limit, self._begin, writes, kept)
        self.tried += found
        return found

    def choices(self, best: Trial) -> tuple[Choice, ...]:
        """What was chosen, as records: the way to ask and the way to answer."""
        values: dict[str, float | None] = {}
        ways = {trial.asker.way.name: trial.asker.way for trial in self.tried}
        for name in ways:
            tried = [trial for trial in self.tried if trial.asker.way.name == name and trial.rows]
            if tried:
                top = best if best in tried else max(tried, key=lambda trial: (trial.rows, trial.worth()))
                values[self._named(name, top)] = top.values()[top.best()]
        answers = {
            self._named(how, trial): value
            for trial in self.tried
            if trial.asker.way is best.asker.way
            for how, value in trial.values().items()
        }
        found = []
        if len(ways) > 1 or best.asker.way.shots:
            found.append(Choice("prompt", best.asker.way.name, values if len(ways) > 1 else {}))
        if len(answers) > 1:
            found.append(Choice("answer by", best.best(), answers))
        return tuple(found)

    def _named(self, name: str, trial: Trial) -> str:
        """`name`, with the number of rows where not all of dev were read."""
        return name if trial.rows == len(self.dev) else f"{name} (on {trial.rows} rows)"

    def _begin(self, way: Way) -> Callable[[int, int], None]:
        several = f": {way.name}" if len(self.tried) > 1 else ""
        self.watcher.begin(self.rung, f"choosing on dev{several}")
        return self.watcher.rows

    def _plain_speaker(self) -> Speaker | None:
        try:
            return plain_speaker(self.prepared.speaker, self.prepared.task)
        except BaseModelError:  # then the chat template is the only layout
            return None

    def _asker(self, way: Way) -> Asker | None:
        """What writes the prompts of `way`; None where the base has no such layout."""
        prepared = self.prepared
        if way.plain not in self._speakers:
            self._speakers[True] = self._plain_speaker()
        speaker = self._speakers[way.plain]
        if speaker is None:
            return None
        if way.retrieved and way.similarity not in self._pools:
            self._pools[way.similarity] = self.pool_of(way)
        room = prepared.max_length - prepared.max_new_tokens
        pool = self._pools[way.similarity] if way.retrieved else None
        known = self.known if way.passages or way.whole else None
        return Asker(speaker, prepared.task, way, room, pool, known)
