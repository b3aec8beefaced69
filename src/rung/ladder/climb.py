"""Climb the ladder: from rows to results and a verdict, in a run folder where a stopped climb continues.

    prepare -> plan (timed on this machine) -> a task for each rung -> verdict -> report

Every finished rung is on disk before the next begins; the same command continues where the last one stopped.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rung import __version__, cost, machine, storage
from rung.config import Settings, load_settings
from rung.data.formats import Loaded
from rung.data.memory import rows_of
from rung.errors import ResourceError, ResumeError
from rung.ladder.context import Context
from rung.ladder.divide import Divided, divide, usable
from rung.ladder.earlier import Earlier, drop_checkpoints, go_on, read_earlier
from rung.ladder.forecast import Size
from rung.ladder.looks import look, sentence
from rung.ladder.plan import Plan, make_plan, most_of
from rung.ladder.rungs import Rung, asked_for, place
from rung.ladder.task import run_rung, write_rows
from rung.ladder.understood import Understood, understand_data
from rung.ladder.verdict import verdict
from rung.ladder.watch import Silent, Watcher
from rung.records import Answer, Result, RunInfo, Verdict, from_json, to_json

if TYPE_CHECKING:
    from rung.ladder.prepare import Prepared

# Settings that decide no result: the same run folder serves, and what is done there is kept.
_FREE = {"output", "threads", "checkpoint_seconds", "rungs", "budget", "tolerance", "goal", "volume"}
_LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "scipy", "sacrebleu", "numpy")


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
    asked_for(checked)  # a rung or method that is not there is said before anything is read
    understood = data if isinstance(data, Understood) else understand_data(data, checked, test)
    return _Climb(understood, checked, asked, watcher or Silent()).run()


def default_folder(loaded: Loaded, asked: dict[str, Any]) -> Path:
    """``runs/<file>-<8 digits>``: the same rows and settings always give the same folder.

    Which rungs are tried, and for how long, makes no difference: a later climb adds to what is there.
    """
    relevant = {key: value for key, value in asked.items() if key not in _FREE}
    mark = storage.fingerprint([loaded.sha256, relevant])
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in Path(loaded.name).stem)[:40]
    return Path("runs") / f"{stem}-{mark[:8]}"


class _Climb:
    """One climb; methods in the order they run."""

    def __init__(
        self,
        data: Understood,
        settings: Settings,
        asked: dict[str, Any],
        watcher: Watcher,
    ) -> None:
        self.data = data
        self.settings = settings
        self.asked = asked
        self.watcher = watcher
        self.clock = cost.Stopwatch()
        self.changed = False  # whether a rung was run that an earlier run of the command had not finished
        self.folder = storage.RunFolder(settings.output or default_folder(data.loaded, asked))
        self.earlier = read_earlier(self.folder)
        self.asked_rungs = asked_for(settings, data.task)
        every = [*self.asked_rungs, *self.earlier.rungs]
        self.rungs = sorted({rung.name: rung for rung in every}.values(), key=place)

    def run(self) -> Climbed:
        self.rows = self._prepare(self.settings)
        self.watcher.prepared(self.rows)
        mark, owner = self._mark()
        with self.folder.claimed(mark, owner):
            self.earlier = self._usable_earlier()
            self.context = self._context(mark)
            self.plan = self._old_plan() or self._keep(self._new_plan(self.rungs))
            self.context.settle(self.plan)
            self.watcher.planned(self.plan)
            self.looks = sentence(look(self.rows.split.test, mark))
            if self.looks:
                self.watcher.say(self.looks)
            self._write_start()
            try:
                results = tuple(self._one(rung) for rung in self.rungs)
            except BaseException:
                with suppress(ResourceError):
                    self._write_info()  # so that the time spent is not forgotten
                raise
            return self._conclude(results)

    def _prepare(self, settings: Settings) -> Divided:
        """The rows in their parts; as tokens of the base, where a rung needs one."""
        rows = divide(self.data, settings)
        if not any(rung.needs_base for rung in self.rungs):
            return usable(rows)
        from rung.ladder.prepare import on_base  # imports torch

        return on_base(rows)

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
            fingerprint=mark,
            asked=self.asked,
        )

    def _on_base(self) -> Prepared:
        from rung.ladder.prepare import Prepared, on_base

        return self.rows if isinstance(self.rows, Prepared) else on_base(self.rows)

    def _mark(self) -> tuple[str, dict[str, Any]]:
        """Fingerprint of everything that decides the results, and the same in words."""
        rows = self.rows
        owner = self.settings.model_dump(mode="json", exclude=_FREE)
        owner |= {
            "data": rows.loaded.sha256,
            "test": rows.loaded_test.sha256 if rows.loaded_test else None,
            "rung": __version__,
        }
        return storage.fingerprint(owner), owner

    def _usable_earlier(self) -> Earlier:
        """What earlier climbs left here; without the results if those were measured on other rows.

        Raises `ResumeError` where it was another base.
        """
        earlier = read_earlier(self.folder)
        was = earlier.info.applied.get("base_fingerprint") if earlier.info else None
        now = self.rows.base_facts().get("fingerprint")
        if was and now and was != now:
            raise ResumeError(
                "the base is not the one that this run began with",
                where=str(self.folder.path),
                why=f"{self.settings.base} has the fingerprint {now}, not {was}",
                fix="Give the base as it was, or another --output",
            )
        if earlier.same_rows(self.rows.facts()["split"]):
            return earlier
        self.watcher.say("the base cannot read every row: what ran without it runs again on the same rows")
        return Earlier(info=earlier.info)

    def _old_plan(self) -> Plan | None:
        """The plan of earlier climbs, with what has to be planned now; None where there is none."""
        old = self.earlier.plan
        if old is None:
            return None
        if old.precision and old.precision != self.rows.base_facts().get("precision"):
            # a run keeps the number format it began with
            settings = self.settings.model_copy(update={"precision": old.precision})
            self.rows = self._prepare(settings)
        budget, most = self.settings.budget, self.context.size
        pending = [rung for rung in self.asked_rungs if self.earlier.done(rung, budget) is None]
        plan = go_on(old, pending, budget, most, self._new_plan)
        drop_checkpoints(self.folder, old, plan, pending)
        return plan if plan is old else self._keep(plan)

    def _new_plan(self, rungs: Sequence[Rung], most: Size | None = None) -> Plan:
        """Time a few real steps and fit `rungs` into the budget, with no more rows than `most`."""
        if any(rung.needs_base for rung in rungs):
            self.watcher.say("Timing a few real steps on this machine")
        self.context.size = most or self.context.size
        plan = make_plan(self.context, rungs, self.clock)
        needed = max(quote.disk_bytes for quote in plan.quotes)
        cost.require_disk(needed, storage.free_bytes(self.folder.path), str(self.folder.path))
        return plan

    def _keep(self, plan: Plan) -> Plan:
        storage.write_json(self.folder.file("plan.json"), to_json(plan))
        return plan

    def _write_start(self) -> None:
        """What the tasks read."""
        test = [to_json(example) for example in self.context.split.test]
        storage.write_jsonl(self.folder.file("test.jsonl"), test)
        write_rows(self.folder, self.rows.split)
        settings = {"asked": self.asked, "applied": self._applied()}
        storage.write_file(self.folder.file("config.yaml"), yaml.safe_dump(settings, sort_keys=False))
        self._write_info()

    def _applied(self) -> dict[str, Any]:
        applied = self.settings.model_dump(mode="json", exclude={"output"})
        return applied | {"rungs": [rung.name for rung in self.rungs]}

    def _write_info(self, finished: str = "") -> RunInfo:
        """Write run.json; one that says it is finished stays as it is until a rung is run again."""
        plan = self.context.plan
        before = self.earlier.info
        if before is not None and before.finished and not self.changed:
            return before
        earlier = before.seconds or 0.0 if before else 0.0
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
            | {name: made_for.get(name) for name in ("precision", "precision_why", "max_new_tokens")}
            | {"step_tokens": plan.step_tokens, "epochs": plan.epochs}
            | {"base_fingerprint": made_for.get("fingerprint")},
            machine=machine.describe(),
            versions={"rung": __version__, "python": platform.python_version()}
            | {name: importlib.metadata.version(name) for name in _LIBRARIES},
            notes=(*plan.notes, *([self.looks] if self.looks else [])),
            started=before.started if before else storage.now(),
            finished=finished,
            seconds=earlier + self.clock.seconds,
        )
        storage.write_json(self.folder.file("run.json"), to_json(info))
        return info

    def _one(self, rung: Rung) -> Result:
        """Run one rung, or take what an earlier climb found."""
        result = self.earlier.done(rung, self.settings.budget)
        if rung not in self.asked_rungs:
            result = self.earlier.results.get(rung.name)
        if result is not None:
            self.watcher.finished(result, True)
            return result
        self.changed = True
        limit = self.context.plan.train_limit(rung.name, self.clock.seconds)
        result = run_rung(self.context, rung, limit)
        self._write_info()
        self.watcher.finished(result, False)
        return result

    def _conclude(self, results: tuple[Result, ...]) -> Climbed:
        answers: dict[str, Sequence[Answer]] = {}
        for result in results:
            if result.status == "ok":
                rows = storage.read_jsonl(self.folder.file("predictions", f"{result.rung}.jsonl"))
                answers[result.rung] = [from_json(Answer, row) for row in rows]
        drawn = verdict(results, answers, self.context.split.test, self.rows.task, self.settings.seed)
        storage.write_json(self.folder.file("verdict.json"), to_json(drawn))
        return Climbed(self.folder.path, self._write_info(storage.now()), results, drawn)
