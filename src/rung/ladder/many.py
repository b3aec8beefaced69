"""Several files, each a task: an adapter for each, or one for all? And does one help another as a start?

    a climb a file -> one tuning on a mixture of their train rows -> that adapter on the test rows of each

Every part is a climb in a folder of its own, so the same command continues where it was stopped. All share
one budget (`rung.ladder.many_time`); what there was no time for is said. No test row of any file is among the
rows of the mixture.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rung import storage
from rung.config import Settings, load_settings
from rung.cost import Stopwatch
from rung.data.formats import Loaded
from rung.data.split import split
from rung.errors import DataError, ResourceError, UsageError
from rung.evaluation.metrics import METRICS
from rung.evaluation.tasks import understand
from rung.ladder.climb import Climbed, climb
from rung.ladder.divide import faults
from rung.ladder.many_scores import Scored, score
from rung.ladder.many_time import for_all, pace_of, share_of
from rung.ladder.mixing import NAME as MIXTURE
from rung.ladder.owner import FREE
from rung.ladder.plan import TooSmall
from rung.ladder.rungs import rung_of
from rung.ladder.understood import Understood, mixture_of, understand_data
from rung.ladder.verdict import compare
from rung.ladder.watch import Silent, Watcher
from rung.methods import METHODS
from rung.records import Answer, Comparison, Example, Measure, Result, from_json, to_json

RECORD = "many.json"
ALL = "all"  # folder of the mixture
MIX = "temperature=2"
_PROMPTS = ("constant", "zero-shot", "few-shot")
_FEWEST = 10  # test rows of the mixture's own climb, whose score nobody reads


@dataclass(frozen=True, slots=True)
class Side:
    """What one adapter is on one file."""

    measure: Measure | None = None
    forgot: Measure | None = None
    bytes: int | None = None
    why: str = ""  # why there is no number


@dataclass(frozen=True, slots=True)
class Part:
    """One file."""

    name: str
    file: str
    kind: str
    train_rows: int
    test_rows: int
    prompt: str  # the best rung without tuning
    prompted: Measure | None
    alone: Side
    all: Side
    difference: Comparison | None  # one for all minus alone
    better: str  # "alone", "all" or "" where they are not distinguishable
    starts: dict[str, float] = field(
        default_factory=dict
    )  # adapter -> nats a token less than the base, on dev


@dataclass(frozen=True, slots=True)
class Many:
    """Several files, measured."""

    folder: Path
    method: str
    mix: str
    parts: tuple[Part, ...]
    sentence: str
    seconds: float
    notes: tuple[str, ...] = ()  # what was not measured


def climb_many(
    files: Sequence[str | Path],
    config: str | Path | None = None,
    watcher: Watcher | None = None,
    **asked: Any,
) -> Many:
    """Climb on each of `files`, tune one adapter on all of them, and say which serves better.

    Under a budget a file is left out where there is no time for it, and so is the adapter for all; ``notes``
    of the result say so. Raises what `rung.ladder.climb.climb` raises, but for a budget that is too small for
    one of several climbs, and `UsageError` for settings that go with one file alone.
    """
    settings, said = load_settings(Path(config) if config else None, asked)
    rung = _require(settings, files)
    names = _names(files)
    data = [understand_data(file, settings.model_copy(update={"mix": None})) for file in files]
    folder = settings.output or _folder(data, said)
    watcher = watcher or Silent()
    said = {key: value for key, value in said.items() if key not in ("mix", "output", "method")}
    run = _Run(settings, said, folder, rung, watcher)
    climbed = run.on_each(dict(zip(names, data, strict=True)))
    mixed = mixture_data(names, data, settings)
    both, scored = run.on_all(mixed, climbed)
    parts = tuple(_part(name, one, rung, both, scored.get(name)) for name, one in climbed.items())
    if both is not None:
        run.notes += [f"{name}: {note}" for name, one in scored.items() for note in one.notes]
        run.notes += _not_scored(both, climbed, scored)
    found = Many(folder, rung, _mix_of(settings, both), parts, sentence(parts), run.spent, tuple(run.notes))
    storage.write_json(folder / RECORD, to_json(replace(found, folder=Path(folder.name))))
    return found


class _Run:
    """The climbs of several files, and what they have taken of the budget."""

    def __init__(
        self, settings: Settings, said: dict[str, Any], folder: Path, rung: str, watcher: Watcher
    ) -> None:
        self.settings, self.said, self.folder, self.rung = settings, said, folder, rung
        self.watcher = watcher
        self.spent = 0.0  # seconds of what has ended, also in earlier runs of the command
        self.notes: list[str] = []

    def on_each(self, data: Mapping[str, Understood]) -> dict[str, Climbed]:
        """A climb on each file, by name; a file for which there is no time is not among them."""
        budget, found = self.settings.budget, dict[str, Climbed]()
        rungs = tuple(dict.fromkeys([*(self.settings.rungs or _PROMPTS), self.rung]))
        for done, (name, one) in enumerate(data.items()):
            share = None if budget is None else share_of(budget, self.spent, done, len(data))
            if budget is not None and share is None:
                self._left_out(f"{name} was not measured: the files before it took the time of their half")
                continue
            self.watcher.say(f"File {done + 1} of {len(data)}, an adapter of its own: {name}")
            own = self.said | {"output": self.folder / name, "budget": share, "rungs": rungs}
            if (climbed := self._climb(name, one, own)) is not None:
                found[name] = climbed
        if not found:
            raise ResourceError("the budget is too small for any of the files", fix="Give a larger --budget")
        return found

    def on_all(
        self, mixed: Understood, climbed: Mapping[str, Climbed]
    ) -> tuple[Climbed | None, dict[str, Scored]]:
        """The climb on the mixture, and its adapter on each file; None and nothing where there is no time."""
        settings, files = self.settings, len(climbed)
        paces = {
            name: pace_of(self.folder / name, self.rung, one.info.task, files)
            for name, one in climbed.items()
        }
        time = None if settings.budget is None else for_all(settings.budget, self.spent, paces.values())
        if settings.budget is not None and time is None:
            self._left_out("no adapter for all was tuned: the adapters of the files took the time")
            return None, {}
        self.watcher.say(f"One adapter for all: {len(mixed.loaded.examples):,} rows of all files")
        own = {"output": self.folder / ALL, "rungs": (self.rung,), "max_test": _FEWEST, "budget": time}
        own |= {"mix": settings.mix or MIX, "task": "generation", "metric": None}
        both = self._climb("the adapter for all", mixed, self.said | own)
        if both is None:
            return None, {}
        self.watcher.say("The adapter for all answers the test rows of each file")
        left = None if settings.budget is None else settings.budget - self.spent
        scored = score(self.folder, paces, self.rung, both.results[0], self.watcher, left)
        self.spent += sum(one.seconds for one in scored.values())
        return both, scored

    def _climb(self, name: str, data: Understood, own: Mapping[str, Any]) -> Climbed | None:
        """A climb; None where its part of the budget is too small for any rung."""
        watch = Stopwatch()
        try:
            found = climb(data, watcher=self.watcher, **own)
        except TooSmall as error:
            self.spent += watch.seconds
            self._left_out(f"{name} was not measured: {error.what}. {error.why}".rstrip(". "))
            return None
        self.spent += found.info.seconds or 0.0
        return found

    def _left_out(self, note: str) -> None:
        self.notes.append(note)
        self.watcher.say(note)


def _not_scored(both: Climbed, climbed: Mapping[str, Climbed], scored: Mapping[str, Scored]) -> list[str]:
    """A sentence on the files for which the adapter for all had no time, where there is one."""
    names = [name for name in climbed if name not in scored]
    if not names or both.results[0].status not in ("ok", "unfinished"):
        return []
    return [f"the adapter for all was not measured on {', '.join(names)}: the budget was used up"]


def _mix_of(settings: Settings, both: Climbed | None) -> str:
    """The mixture for the record; where dev has chosen it, also which one."""
    text = settings.mix or MIX
    chosen = [one.chosen for one in both.results[0].choices if one.name == MIXTURE] if both else []
    return f"{text}, {chosen[0]}" if chosen else text


def _require(settings: Settings, files: Sequence[str | Path]) -> str:
    """The tuned rung. Raises `UsageError` for settings that several files cannot have."""
    for name, given in (("test", settings.test is not None), ("splits", settings.splits > 1)):
        if given:
            raise UsageError(
                f"several files and --{name} do not go together",
                why="Each file holds out rows of its own",
                fix=f"Leave out --{name}, or climb on one file",
            )
    same = [str(file) for i, file in enumerate(files) if Path(file).resolve() in _resolved(files[:i])]
    if same:
        raise UsageError(f"the file {same[0]!r} is given twice", fix="Give each file once")
    if settings.mix is not None:
        mixture_of(settings.mix)
    rung = rung_of(settings.method or "lora")
    if METHODS[rung.method].promises.whole_model or METHODS.classifies(rung.method):
        raise UsageError(
            f"several files are compared by adapters that write, and {rung.method} leaves none",
            fix="Give --method lora, or another method that leaves an adapter (`rung methods`)",
        )
    return rung.name


def _resolved(files: Sequence[str | Path]) -> set[Path]:
    return {Path(file).resolve() for file in files}


def _names(files: Sequence[str | Path]) -> list[str]:
    """A name for each file that can be a folder's: its stem, with a number where that is taken."""
    found: list[str] = []
    for file in files:
        stem = re.sub(r"[^\w.-]", "-", Path(file).stem)[:40].strip(".-") or "file"
        taken, number, name = {ALL, *found}, 1, stem
        while name in taken:
            number += 1
            name = f"{stem}-{number}"
        found.append(name)
    return found


def _folder(data: Sequence[Understood], said: dict[str, Any]) -> Path:
    relevant = {key: value for key, value in said.items() if key not in FREE}
    mark = storage.fingerprint([[one.loaded.sha256 for one in data], relevant])
    return Path("runs") / f"many-{mark[:8]}"


def mixture_data(names: Sequence[str], data: Sequence[Understood], settings: Settings) -> Understood:
    """The rows of all files as one file: what each of them learns and chooses from, and its test rows.

    A row is numbered through all files, its source is the name of its file. Rows that a file's own task
    cannot use are left out here; those whose prompt is a test row of another file, where the parts are made.
    """
    train: list[Example] = []
    test: list[Example] = []
    number = 0
    for name, one in zip(names, data, strict=True):
        parts = split(
            one.loaded.examples,
            seed=settings.seed,
            dev_fraction=settings.dev_fraction,
            test_fraction=settings.test_fraction,
        )
        for rows, into in (((*parts.train, *parts.dev), train), (parts.test, test)):
            bad = faults(one.task, rows)
            for row in rows:
                number += 1
                if row.row not in bad and row.target.strip():
                    group = f"{name}: {row.group}" if row.group else ""
                    into.append(replace(row, source=name, row=number, group=group))
    if not test:
        raise DataError("no file has a test row with an answer", fix="Give more rows")
    mark = storage.fingerprint([one.loaded.sha256 for one in data])
    loaded, held_out = (Loaded(tuple(rows), "messages", ALL, mark) for rows in (train, test))
    task, loaded = understand(loaded, "generation")
    return Understood(loaded, held_out, replace(task, why=f"Generation: rows of {len(data)} files."), "")


def _part(name: str, climbed: Climbed, rung: str, both: Climbed | None, scored: Scored | None) -> Part:
    info, results = climbed.info, {one.rung: one for one in climbed.results}
    own = results[rung]
    prompts = [one for one in climbed.results if one.rung != rung and one.primary and one.status == "ok"]
    sign = 1 if METRICS[info.task.primary].higher_is_better else -1
    best = max(
        prompts, key=lambda one: sign * (one.primary.value or 0.0) if one.primary else 0.0, default=None
    )
    difference = _difference(climbed, rung, scored)
    better = ""
    if difference is not None and difference.distinguishable:
        better = ALL if sign * (difference.difference.value or 0.0) > 0 else "alone"
    return Part(
        name=name,
        file=str(info.data.get("file", "")),
        kind=info.task.kind,
        train_rows=int(info.data.get("train_rows") or 0),
        test_rows=int(info.data.get("test_rows_used") or 0),
        prompt=best.rung if best else "",
        prompted=best.primary if best else None,
        alone=_side(own, own.primary),
        all=_side(both.results[0], scored.measures[0] if scored else None) if both else Side(why="not tuned"),
        difference=difference,
        better=better,
        starts=dict(scored.starts) if scored else {},
    )


def _side(result: Result, measure: Measure | None) -> Side:
    forgot = next((one for one in result.forgetting if one.name == "kl"), None)
    return Side(measure, forgot, result.cost.adapter_bytes, "" if result.status == "ok" else result.reason)


def _difference(climbed: Climbed, rung: str, scored: Scored | None) -> Comparison | None:
    """One for all against alone, on the test rows that both answered."""
    path = climbed.folder / "predictions" / f"{rung}.jsonl"
    if scored is None or not path.exists():
        return None
    alone = [from_json(Answer, row, path.name) for row in storage.read_jsonl(path)]
    both = {ALL: scored.answers, "alone": alone}
    if not alone:
        return None
    return compare(ALL, "alone", both, scored.examples, climbed.info.task, int(climbed.info.applied["seed"]))


def sentence(parts: Sequence[Part]) -> str:
    """Which serves better, from the comparisons alone."""
    worse = [one for one in parts if one.better == "alone"]
    gained = [one for one in parts if one.better == ALL]
    compared = [one for one in parts if one.difference is not None]
    if not compared:
        return (
            "Nothing can be compared: no file has both an adapter of its own and answers of the one for all."
        )
    left = f"; {len(parts) - len(compared)} could not be compared" if len(compared) < len(parts) else ""
    if worse:
        also = f", and clearly better on {_listed(gained)}" if gained else ""
        text = f"An adapter for each: the one for all is clearly worse on {_listed(worse)}{also}{left}."
    elif gained:
        text = (
            f"One adapter for all: it is clearly better on {_listed(gained)} and clearly worse on none{left}."
        )
    else:
        text = (
            f"One adapter for all does as well, as far as {len(compared)} files can tell: on none of them is "
            f"it told apart from an adapter of its own{left}."
        )
    return text


def _listed(parts: Sequence[Part]) -> str:
    return ", ".join(one.name for one in parts)
