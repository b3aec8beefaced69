"""Climb the ladder: from rows to results and a verdict, in a run folder where a stopped climb continues.

    prepare -> rungs without a base -> plan (timed on this machine) -> a task for each other rung -> verdict

The plan is made again for the rungs that are left before each of them. Every finished rung is on disk
before the next begins; the same command continues where the last one stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rung import __version__, cost, machine, storage, threads
from rung.config import Settings, load_settings, require_one_split
from rung.data.memory import rows_of
from rung.errors import DataError, ResourceError
from rung.ladder import hopeless, mixing, repeat
from rung.ladder.context import Context
from rung.ladder.divide import Divided, divide, usable
from rung.ladder.earlier import finished_rungs, info_of, open_again, same_rows
from rung.ladder.library import Library
from rung.ladder.looks import look, sentence
from rung.ladder.owner import FREE, contents, default_folder
from rung.ladder.pace import Pace, pace_of, still_improving
from rung.ladder.plan import EPOCHS, MOST_EPOCHS, Plan, make_plan, most_of
from rung.ladder.rungs import Rung, asked_for, place
from rung.ladder.sized import what_changed
from rung.ladder.task import drop_checkpoints, run_rung, write_rows
from rung.ladder.understood import Understood, looked_up, understand_data
from rung.ladder.verdict import verdict
from rung.ladder.watch import OnSplit, Silent, Watcher
from rung.ladder.written import with_questions
from rung.records import Quote, Result, RunInfo, Verdict, from_json, to_json
from rung.run_folder import RunFolder

if TYPE_CHECKING:
    from rung.bases.base import Base
    from rung.ladder.prepare import Prepared

_OF_THE_BASE = ("precision", "precision_why", "bits", "path", "path_why", "max_new_tokens")  # kept too


@dataclass(frozen=True, slots=True)
class Climbed:
    """A finished climb."""

    folder: Path
    info: RunInfo
    results: tuple[Result, ...]
    verdict: Verdict

    def __repr__(self) -> str:
        return f"<climb in {self.folder}: {self.verdict.sentence}>"


def climb(
    data: object, config: str | Path | None = None, watcher: Watcher | None = None, **settings: Any
) -> Climbed:
    """Try every rung on `data` and say which one to use.

    `data` is a path, a list of dicts, a DataFrame or a Dataset, and so may be ``settings["test"]``; or what
    `rung.ladder.understood` made of one.
    `settings` are those of `rung.config.Settings`; `config` is a YAML file of them. Returns what was
    measured; everything is also in ``Climbed.folder``. Raises the errors of `rung.errors`.
    """
    held_out = settings.get("test")
    test = None if isinstance(held_out, str | Path | None) else rows_of(settings.pop("test"), "test")
    checked, asked = load_settings(Path(config) if config else None, settings)
    if test is not None:
        asked["test"] = f"rows in memory, sha256 {test.sha256}"
        require_one_split(checked)
    known = looked_up(data, checked)
    asked_for(known)  # report an unknown rung or method before anything is read
    understood = data if isinstance(data, Understood) else understand_data(data, checked, test)
    return _Climb(understood, repeat.shared(known), asked, watcher or Silent()).run()


class _Climb:
    """One climb; methods in the order they run."""

    def __init__(
        self,
        data: Understood,
        settings: Settings,
        asked: dict[str, Any],
        watcher: Watcher,
        base: Base | None = None,
    ) -> None:
        self.data = data
        self.base = base  # that is loaded already
        self.settings = settings
        self.asked = asked
        self.watcher = watcher
        self.clock, self.began = cost.Stopwatch(), storage.now()
        self.longest = EPOCHS  # that a tuned rung may be given
        self.shown: dict[str, Quote] = {}  # what the user knows of the plan
        self.fresh = False  # whether no time has passed since the plan was made
        self.started = False  # whether the files that tasks read are written
        self.changed = False  # whether a rung was run that an earlier run of the command had not finished
        self.folder = RunFolder(settings.output or default_folder(data.named, asked))
        self.looks = ""  # how often the test rows were used before
        self.repeated = ""  # what scores are means of
        every = [*asked_for(settings, data.task), *finished_rungs(self.folder)]
        self.rungs = sorted({rung.name: rung for rung in every}.values(), key=place)

    def run(self) -> Climbed:
        threads.tell(self.watcher.say)
        mark, owner = self._mark()
        if self.data.corpus is not None:
            with self.folder.claimed(mark, owner):
                found = with_questions(self.data, self.settings, self.folder, self.watcher, self.base)
                self.data, self.base = found
        self.rows = self._prepare(self.settings)
        self.watcher.prepared(self.rows)
        if self.settings.splits > 1:
            self.watcher.say(f"This is the first of {self.settings.splits} splits; all get the same time")
        with self.folder.claimed(mark, owner) as begun:
            self.context = self._context(mark)
            self.before = info_of(self.folder)
            self.clock = cost.Stopwatch(self.clock.seconds + self._spent_before())
            same = same_rows(self.folder, self.before, self.rows)
            if not same:
                self.watcher.say("the base cannot read every row: what ran without it runs again")
            if (old := self._old_plan() if begun and same else None) is not None:
                self.context.settle(old)
                open_again(self.context, asked_for(self.settings, self.rows.task), self.clock)
            cheap = [rung for rung in self.rungs if not rung.needs_base]
            try:
                self.looks = sentence(look(self.rows.split.test, mark))
                if self.looks:
                    self.watcher.say(self.looks)
                self._plan_new(cheap)
                results = [self._one(rung) for rung in cheap]
                others = [rung for rung in self.rungs if rung.needs_base]
                self._mix(others)
                self._plan_new(others)
                self.watcher.planned(self.context.plan)
                self.shown = {quote.rung: quote for quote in self.context.plan.quotes}
                results += [self._one(rung, others[place:]) for place, rung in enumerate(others)]
            except BaseException:
                if self.started:
                    with suppress(ResourceError):
                        self._write_info()  # so that the time spent is not forgotten
                raise
            return self._conclude(sorted(results, key=lambda result: result.order))

    def _prepare(self, settings: Settings) -> Divided:
        """The rows in their parts; as tokens of the base, where a rung needs one."""
        rows = divide(self.data, mixing.resolved(settings, self.folder))
        if not any(rung.needs_base for rung in self.rungs):
            return usable(rows)
        from rung.ladder.prepare import on_base  # imports torch

        return on_base(rows, self.base)

    def _mix(self, rungs: Sequence[Rung]) -> None:
        """Where dev is to choose the mixture of sources: choose it, and learn from its rows from here on."""
        if mixing.choose(self.context, rungs, self.clock):
            self.base = getattr(self.rows, "base", None)
            self.rows = self._prepare(self.rows.settings)
            self.context.learn_from(self.rows.split)
            if self.started:
                self._write_info()

    def _context(self, mark: str) -> Context:
        return Context(
            settings=self.settings,
            task=self.rows.task,
            split=self.rows.split,
            folder=self.folder,
            watcher=self.watcher,
            load=self._on_base,
            size=most_of(self.settings, self.rows.split),
            forgetting=any(rung.kind == "tune" for rung in self.rungs),
            base_name=self.rows.base_facts().get("base", ""),
            library=Library.of(self.rows.documents, self.folder.path) if self.rows.documents else None,
            fingerprint=mark,
            asked=self.asked,
        )

    def _on_base(self) -> Prepared:
        from rung.ladder.prepare import Prepared, on_base

        return self.rows if isinstance(self.rows, Prepared) else on_base(self.rows)

    def _mark(self) -> tuple[str, dict[str, Any]]:
        """Fingerprint of everything that decides the results, and the same in words."""
        once = {"splits"} if self.settings.splits == 1 else set()
        owner = self.settings.model_dump(mode="json", exclude={*FREE, *once})
        owner |= contents(self.data) | {"rung": __version__}
        return storage.fingerprint(owner), owner

    def _old_plan(self) -> Plan | None:
        """The plan of an earlier run of the command, in whose number format this one runs too."""
        path = self.folder.file("plan.json")
        if not path.exists():
            return None
        plan = from_json(Plan, storage.read_json(path), path.name)
        kept, facts = plan.kept(self.settings.threads), self.rows.base_facts()
        if any(facts.get(name) != value for name, value in kept.items()):
            self.rows = self._prepare(self.settings.model_copy(update=kept))
        return plan

    def _plan_new(self, rungs: Sequence[Rung]) -> None:
        """Plan those of `rungs` that have no plan yet, or could not be timed, with all that wait."""
        old = self.context.planned
        quotes = {rung.name: old.find(rung.name) if old else None for rung in rungs}
        new = [rung for rung in rungs if (quote := quotes[rung.name]) is None or quote.failed]
        if new:
            if any(rung.needs_base for rung in new):
                self.watcher.say("Timing real work on this machine")
            self._plan_again([rung for rung in rungs if rung in new or self._waits(rung)])
            needed = max(quote.disk_bytes for quote in self.context.plan.quotes)
            cost.require_disk(needed, storage.free_bytes(self.folder.path), str(self.folder.path))
            self.fresh = True
        if self.context.planned is not None and (new or not self.started):
            self._keep(self.context.plan)
            self._write_start()

    def _plan_again(self, rungs: Sequence[Rung]) -> None:
        """Plan `rungs`, none of which has begun, into the time that is left."""
        old = self.context.planned
        self.context.size = most_of(self.settings, self.context.whole, self.longest, old)
        self.context.settle(make_plan(self.context, rungs, self.clock, old))

    def _waits(self, rung: Rung) -> bool:
        """Whether `rung` has neither begun nor ended."""
        return rung.name not in self.context.plan.begun and not self._result_file(rung).exists()

    def _keep(self, plan: Plan) -> None:
        storage.write_json(self.folder.file("plan.json"), to_json(plan))

    def _write_start(self) -> None:
        """What the tasks read."""
        test = [to_json(example) for example in self.context.split.test]
        storage.write_jsonl(self.folder.file("test.jsonl"), test)
        write_rows(self.folder, self.rows.split, self.context.library)
        settings = {"asked": self.asked, "applied": self._applied()}
        storage.write_file(self.folder.file("config.yaml"), yaml.safe_dump(settings, sort_keys=False))
        self._write_info()
        self.started = True

    def _applied(self) -> dict[str, Any]:
        applied = self.settings.model_dump(mode="json", exclude={"output"})
        return applied | {"rungs": [rung.name for rung in self.rungs]}

    def _spent_before(self) -> float:
        """Seconds that earlier runs of the command took; a climb that has ended begins a new budget."""
        return self.before.seconds or 0.0 if self.before and not self.before.finished else 0.0

    def _write_info(self, finished: str = "") -> RunInfo:
        """Write run.json; one that says it is finished stays as it is until a rung is run again."""
        plan = self.context.plan
        before = self.before
        if before is not None and before.finished and not self.changed:
            return before
        size, made_for = plan.size, self.rows.base_facts()
        info = RunInfo(
            name=self.folder.path.name,
            task=self.rows.task,
            base=made_for.get("base", ""),
            data=self.rows.facts()
            | {
                "dev_rows_used": size.dev,
                "test_rows_used": size.test,
                "max_length": made_for.get("max_length"),
            },
            asked=self.asked,
            applied=self._applied()
            | {name: made_for.get(name) for name in _OF_THE_BASE}
            | {"step_tokens": plan.step_tokens, "epochs": plan.epochs}
            | {"base_fingerprint": made_for.get("fingerprint")},
            machine=machine.describe(),
            versions=machine.versions(),
            notes=(*plan.notes, *(note for note in (self.looks, self.repeated) if note)),
            started=before.started if before else self.began,
            finished=finished,
            seconds=self.clock.seconds + (before.seconds or 0.0 if before and before.finished else 0.0),
        )
        storage.write_json(self.folder.file("run.json"), to_json(info))
        return info

    def _result_file(self, rung: Rung) -> Path:
        return self.folder.file("results", f"{rung.name}.json")

    def _one(self, rung: Rung, left: Sequence[Rung] = ()) -> Result:
        """Run one rung, or read what an earlier run of the same command found.

        `left` are the rungs that are planned again first, this one among them.
        """
        path = self._result_file(rung)
        if path.exists():
            result = from_json(Result, storage.read_json(path), path.name)
            if result.status != "failed":
                drop_checkpoints(self.folder, result)  # a stop may have come before it
                self.longest = MOST_EPOCHS if still_improving(result) else self.longest
                self.watcher.finished(result, True)
                return result
        self._begin(rung, left)
        self.changed = True
        result = run_rung(self.context, rung)
        self._learn(rung, result)
        self._write_info()
        self.watcher.finished(result, False)
        return result

    def _begin(self, rung: Rung, left: Sequence[Rung]) -> None:
        """Plan the rungs that are left again, and settle what this one gets: it stays, also after a stop."""
        plan, fresh, self.fresh = self.context.plan, self.fresh, False
        if self._waits(rung) and hopeless.look(self.context, rung):
            plan, fresh = self.context.plan, False
        settled = plan.quote(rung.name).settled
        revises = self.settings.budget is not None and left and not fresh and not settled
        if revises and self._waits(rung):
            self._plan_again([one for one in left if self._waits(one) and not plan.quote(one.name).settled])
            plan = self.context.plan
            if line := what_changed(self.shown[rung.name], plan.quote(rung.name)):
                self.watcher.say(line)
        if plan.quote(rung.name).fits and rung.name not in plan.begun:
            plan = replace(plan, begun=(*plan.begun, rung.name))
            self.context.planned = plan
        self._keep(plan)

    def _learn(self, rung: Rung, result: Result) -> None:
        """What the rung showed about this machine, and about training on these rows."""
        if still_improving(result):
            self.longest = MOST_EPOCHS
        pace = pace_of(result.quote, result)
        if self.settings.budget is not None and rung.needs_base and pace != Pace():
            self.context.speeds = self.context.speeds.slower(pace.training, pace.answering)

    def _conclude(self, found: Sequence[Result]) -> Climbed:
        tried = self._tried(found)
        if self.settings.splits > 1:
            pooled = repeat.pool(self._on_every_split(tried), self.rows.task, self.settings.seed)
            repeat.write(self.folder, pooled.results)
            self.repeated = pooled.note
        else:
            pooled = repeat.alone(tried)
        drawn = self._draw(pooled)
        storage.write_json(self.folder.file("verdict.json"), to_json(drawn))
        return Climbed(self.folder.path, self._write_info(storage.now()), pooled.results, drawn)

    def _tried(self, results: Sequence[Result]) -> repeat.Tried:
        parts = self.context.split
        known = len(parts.train) + len(parts.dev)
        return repeat.read(self.folder, results, parts.test, known, self.rows.task)

    def _draw(self, pooled: repeat.Pooled) -> Verdict:
        settings, notes = self.settings, self.context.plan.notes
        return verdict(
            pooled.results,
            pooled.answers,
            pooled.examples,
            self.rows.task,
            settings.seed,
            tolerance=settings.tolerance,
            goal=settings.goal,
            volume=settings.volume,
            notes=(*notes, self.repeated) if self.repeated else notes,
            row_of=pooled.row_of,
            inflation=pooled.inflation,
            max_forgetting=settings.max_forgetting,
        )

    def _on_every_split(self, first: repeat.Tried) -> list[repeat.Tried]:
        """`first`, and what the cheap rungs and the finalists measure on the other splits: climbs of their
        own, which continue where they were stopped. A split that cannot be made is left out."""
        settings, found = self.settings, [first]
        rungs = repeat.finalists(first.results, self._draw(repeat.alone(first)))
        kept = self.context.plan.kept(settings.threads)
        base = getattr(self.rows, "base", None)
        for number in range(1, settings.splits):
            own = repeat.settings_of(settings, number, self.folder, rungs, kept)
            name = f"Split {number + 1} of {settings.splits}"
            self.watcher.say(f"{name}: {', '.join(rungs)}")
            watcher = OnSplit(self.watcher, number + 1, settings.splits)
            other = _Climb(self.data, own, self.asked | {"seed": own.seed}, watcher, base)
            try:
                found.append(other._tried(other.run().results))
            except DataError as error:
                self.watcher.say(f"{name} is left out: {error}")
        return found
