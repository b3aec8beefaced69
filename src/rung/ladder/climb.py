"""Climb the ladder: from rows to results and a verdict, in a run folder where a stopped climb continues.

    prepare -> plan (timed on this machine) -> a task for each rung -> verdict -> report

Every finished rung is on disk before the next begins; the same command continues where the last one stopped.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rung import __version__, cost, machine, storage
from rung.config import Settings, load_settings
from rung.data.formats import Loaded
from rung.data.memory import rows_of
from rung.errors import ResourceError
from rung.ladder.context import Context
from rung.ladder.divide import Divided, divide, usable
from rung.ladder.plan import Plan, make_plan, most_of, quote_of, rounded
from rung.ladder.rungs import Rung, asked_for
from rung.ladder.task import run_rung, write_rows
from rung.ladder.understood import Understood, understand_data
from rung.ladder.verdict import verdict
from rung.ladder.watch import Silent, Watcher
from rung.records import Answer, Result, RunInfo, Verdict, from_json, to_json

if TYPE_CHECKING:
    from rung.ladder.prepare import Prepared

_VERDICT = frozenset(
    {"tolerance", "goal", "volume"}
)  # settings that decide the verdict, not what is measured
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

    Settings of the verdict alone do not count: another tolerance draws it again from the same results.
    """
    relevant = {key: value for key, value in asked.items() if key not in {"output", *_VERDICT}}
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
        self.rungs = asked_for(settings, data.task)

    def run(self) -> Climbed:
        self.rows = self._prepare(self.settings)
        self.watcher.prepared(self.rows)
        folder = self.settings.output or default_folder(self.rows.loaded, self.asked)
        self.folder = storage.RunFolder(folder)
        mark, owner = self._mark()
        with self.folder.claimed(mark, owner) as begun:
            self.context = self._context(mark)
            self.plan = self._old_plan() if begun else None
            if self.plan is None:
                self.plan = self._new_plan()
            self.context.settle(self.plan)
            self.watcher.planned(self.plan)
            self.before = self._info_before()
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
        unmarked = {"output", "threads", "checkpoint_seconds", *_VERDICT}
        owner = self.settings.model_dump(mode="json", exclude=unmarked)
        owner |= {
            "rungs": [rung.name for rung in self.rungs],
            "data": rows.loaded.sha256,
            "test": rows.loaded_test.sha256 if rows.loaded_test else None,
            "base": rows.base_facts().get("fingerprint"),
            "rung": __version__,
        }
        return storage.fingerprint(owner), owner

    def _old_plan(self) -> Plan | None:
        """The plan of an earlier run of the command; a rung that could not be timed then is timed again."""
        path = self.folder.file("plan.json")
        if not path.exists():
            return None
        plan = from_json(Plan, storage.read_json(path), path.name)
        if plan.precision and plan.precision != self.rows.base_facts()["precision"]:
            # a run keeps the number format it began with
            settings = self.settings.model_copy(update={"precision": plan.precision})
            self.rows = self._prepare(settings)
        if not any(quote.failed for quote in plan.quotes):
            return plan
        self.context.size = plan.size
        known = [(rung, plan.quote(rung.name)) for rung in self.rungs]
        quotes = [rounded(quote_of(self.context, rung)) if old.failed else old for rung, old in known]
        return self._keep(replace(plan, quotes=tuple(quotes)))

    def _new_plan(self) -> Plan:
        """Time a few real steps and fit the ladder into the budget."""
        if any(rung.needs_base for rung in self.rungs):
            self.watcher.say("Timing a few real steps on this machine")
        plan = make_plan(self.context, self.rungs, self.clock)
        needed = max(quote.disk_bytes for quote in plan.quotes)
        cost.require_disk(needed, storage.free_bytes(self.folder.path), str(self.folder.path))
        return self._keep(plan)

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

    def _info_before(self) -> RunInfo | None:
        """run.json as an earlier run of the same command left it."""
        path = self.folder.file("run.json")
        return from_json(RunInfo, storage.read_json(path), path.name) if path.exists() else None

    def _write_info(self, finished: str = "") -> RunInfo:
        """Write run.json; one that says it is finished stays as it is until a rung is run again."""
        plan = self.context.plan
        before = self.before
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
            | {"step_tokens": plan.step_tokens, "epochs": plan.epochs},
            machine=machine.describe(),
            versions={"rung": __version__, "python": platform.python_version()}
            | {name: importlib.metadata.version(name) for name in _LIBRARIES},
            notes=plan.notes,
            started=before.started if before else storage.now(),
            finished=finished,
            seconds=earlier + self.clock.seconds,
        )
        storage.write_json(self.folder.file("run.json"), to_json(info))
        return info

    def _one(self, rung: Rung) -> Result:
        """Run one rung, or read what an earlier run of the same command found."""
        path = self.folder.file("results", f"{rung.name}.json")
        if path.exists():
            result = from_json(Result, storage.read_json(path), path.name)
            if result.status != "failed":
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
        settings = self.settings
        drawn = verdict(
            results,
            answers,
            self.context.split.test,
            self.rows.task,
            settings.seed,
            tolerance=settings.tolerance,
            goal=settings.goal,
            volume=settings.volume,
            notes=self.context.plan.notes,
        )
        storage.write_json(self.folder.file("verdict.json"), to_json(drawn))
        return Climbed(self.folder.path, self._write_info(storage.now()), results, drawn)
