"""Climb the ladder: from rows to results and a verdict, in a run folder where a stopped climb continues.

    prepare -> plan (timed on this machine) -> each rung -> verdict -> report

Every finished rung is on disk before the next begins; the same command continues where the last one stopped.
"""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rung import __version__, cost, storage
from rung import device as devices
from rung.bases.catalog import cache_dir
from rung.config import Settings, load_settings
from rung.data.formats import Loaded
from rung.data.memory import rows_of
from rung.data.split import sample
from rung.errors import ResourceError, RungError
from rung.evaluation import forgetting
from rung.evaluation.run import Evaluation, complete, judge
from rung.ladder import tuning
from rung.ladder.plan import Plan, make_plan
from rung.ladder.prepare import prepare
from rung.ladder.prompting import prompt
from rung.ladder.quote import measure
from rung.ladder.rungs import Rung, asked_for
from rung.ladder.understood import Understood, understand_data
from rung.ladder.verdict import verdict
from rung.ladder.watch import Silent, Watcher
from rung.ladder.workload import measure_workload
from rung.records import Answer, Choice, Cost, Example, Result, RunInfo, Verdict, from_json, to_json

PACK_TOKENS = 1024
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
    """``runs/<file>-<8 digits>``: the same rows and settings always give the same folder."""
    relevant = {key: value for key, value in asked.items() if key != "output"}
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

    def run(self) -> Climbed:
        self.prepared = prepare(self.data, self.settings)
        self.watcher.prepared(self.prepared)
        folder = self.settings.output or default_folder(self.prepared.loaded, self.asked)
        self.folder = storage.RunFolder(folder)
        mark, owner = self._mark()
        with self.folder.claimed(mark, owner) as begun:
            self.texts = self._general_texts()
            self.plan = self._old_plan() if begun else None
            if self.plan is None:
                self.plan = self._new_plan()
            self._check_precision(self.plan)
            self.watcher.planned(self.plan)
            seed = self.settings.seed
            self.dev = sample(self.prepared.split.dev, self.plan.dev_rows, seed)
            self.test = sample(self.prepared.split.test, self.plan.test_rows, seed)
            self.before = self._info_before()
            self._write_start()
            try:
                results = tuple(self._one(rung) for rung in asked_for(self.settings))
            except BaseException:
                with suppress(ResourceError):
                    self._write_info()  # so that the time spent is not forgotten
                raise
            return self._conclude(results)

    def _mark(self) -> tuple[str, dict[str, Any]]:
        """Fingerprint of everything that decides the results, and the same in words."""
        prepared = self.prepared
        owner = self.settings.model_dump(mode="json", exclude={"output", "threads", "checkpoint_seconds"})
        owner |= {
            "data": prepared.loaded.sha256,
            "test": prepared.loaded_test.sha256 if prepared.loaded_test else None,
            "base": prepared.base.fingerprint,
            "rung": __version__,
        }
        return storage.fingerprint(owner), owner

    def _old_plan(self) -> Plan | None:
        path = self.folder.file("plan.json")
        return from_json(Plan, storage.read_json(path), "plan.json") if path.exists() else None

    def _new_plan(self) -> Plan:
        """Time a few real steps and fit the ladder into the budget."""
        prepared = self.prepared
        self.watcher.say("Timing a few real steps on this machine")
        methods = [rung.method for rung in asked_for(self.settings) if rung.tunes]
        general = sum(len(text.prompt) + len(text.written) for text in self.texts)
        work = measure_workload(prepared, general)
        rates = measure(prepared, methods, PACK_TOKENS)
        plan = make_plan(prepared, work, rates, self.clock.seconds, PACK_TOKENS)
        needed = 0
        if methods:
            weights = 4 * max(rate.parameters for rate in rates.train.values())
            needed = 2 * 4 * weights  # two checkpoints: parameters, two moments and the best state
        cost.require_disk(needed, storage.free_bytes(self.folder.path), str(self.folder.path))
        storage.write_json(self.folder.file("plan.json"), to_json(plan))
        return plan

    def _check_precision(self, plan: Plan) -> None:
        """A run continues in the number format it began with."""
        if plan.precision != self.prepared.device.precision:
            wanted = {"precision": plan.precision}
            settings = self.settings.model_copy(update=wanted)
            self.prepared = prepare(self.data, settings)

    def _general_texts(self) -> Sequence[forgetting.Text]:
        """What the plain base writes after general prompts; forgetting is measured against it."""
        if not any(rung.tunes for rung in asked_for(self.settings)):
            return ()
        speaker = self.prepared.speaker
        return forgetting.reference(speaker.engine, speaker.renderer, cache_dir() / "general")

    def _write_start(self) -> None:
        storage.write_jsonl(self.folder.file("test.jsonl"), [to_json(example) for example in self.test])
        applied = self.settings.model_dump(mode="json", exclude={"output"})
        settings = {"asked": self.asked, "applied": applied}
        storage.write_file(self.folder.file("config.yaml"), yaml.safe_dump(settings, sort_keys=False))
        self._write_info()

    def _info_before(self) -> RunInfo | None:
        """run.json as an earlier run of the same command left it."""
        path = self.folder.file("run.json")
        return from_json(RunInfo, storage.read_json(path), path.name) if path.exists() else None

    def _write_info(self, finished: str = "") -> RunInfo:
        """Write run.json; one that says it is finished stays as it is until a rung is run again."""
        assert self.plan is not None
        before = self.before
        if before is not None and before.finished and not self.changed:
            return before
        earlier = before.seconds or 0.0 if before else 0.0
        info = RunInfo(
            name=self.folder.path.name,
            task=self.prepared.task,
            base=self.prepared.base.name,
            data=self.prepared.facts()
            | {
                "dev_rows_used": len(self.dev),
                "test_rows_used": len(self.test),
                "max_length": self.prepared.max_length,
            },
            asked=self.asked,
            applied=self.settings.model_dump(mode="json", exclude={"output"})
            | {
                "precision": self.plan.precision,
                "precision_why": self.prepared.device.why,
                "max_new_tokens": self.prepared.max_new_tokens,
                "step_tokens": self.plan.step_tokens,
                "epochs": self.plan.epochs,
            },
            machine=devices.describe(),
            versions={"rung": __version__, "python": platform.python_version()}
            | {name: importlib.metadata.version(name) for name in _LIBRARIES},
            notes=self.plan.notes,
            started=before.started if before else storage.now(),
            finished=finished,
            seconds=earlier + self.clock.seconds,
        )
        storage.write_json(self.folder.file("run.json"), to_json(info))
        return info

    def _one(self, rung: Rung) -> Result:
        """Run one rung, or read what an earlier run of the same command found."""
        assert self.plan is not None
        path = self.folder.file("results", f"{rung.name}.json")
        if path.exists():
            result = from_json(Result, storage.read_json(path), path.name)
            if result.status != "failed":
                self.watcher.finished(result, True)
                return result
        started = storage.now()
        self.changed = True
        self.folder.event("rung begins", rung=rung.name)
        result, answers = self._try(rung, started)
        storage.write_jsonl(
            self.folder.file("predictions", f"{rung.name}.jsonl"), [to_json(answer) for answer in answers]
        )
        storage.write_json(path, to_json(result))
        if result.status == "ok":
            shutil.rmtree(self.folder.file("checkpoints", rung.name), ignore_errors=True)
        self._write_info()
        self.folder.event("rung ends", rung=rung.name, status=result.status, reason=result.reason)
        self.watcher.finished(result, False)
        return result

    def _try(self, rung: Rung, started: str) -> tuple[Result, Sequence[Answer]]:
        assert self.plan is not None
        quote = self.plan.quote(rung.name)
        if not quote.fits:
            return self._result(rung, "skipped", started, reason=quote.why), ()
        memory = cost.PeakMemory()
        memory.reset()
        watch = cost.Stopwatch()
        try:
            if rung.tunes:
                return self._tune(rung, started, watch, memory)
            return self._prompt(rung, started, watch, memory)
        except ResourceError:
            raise
        except Exception as error:  # noqa: BLE001  a failed rung is a row with its reason, not a hole
            self.folder.event("rung failed", rung=rung.name, trace=traceback.format_exc())
            reason = str(error) if isinstance(error, RungError) else f"{type(error).__name__}: {error}"
            return self._result(rung, "failed", started, reason=reason), ()

    def _prompt(
        self, rung: Rung, started: str, watch: cost.Stopwatch, memory: cost.PeakMemory
    ) -> tuple[Result, Sequence[Answer]]:
        found = prompt(self.prepared, rung, self.dev, self.test, self.watcher)
        seconds = watch.seconds
        spent = self._cost(seconds, memory, eval_seconds=seconds)
        result = self._result(
            rung, "ok", started, evaluation=found.evaluation, cost=spent, choices=found.choices
        )
        return result, found.evaluation.answers

    def _tune(
        self, rung: Rung, started: str, watch: cost.Stopwatch, memory: cost.PeakMemory
    ) -> tuple[Result, Sequence[Answer]]:
        assert self.plan is not None
        prepared = self.prepared
        self.watcher.begin(rung.name, "training")
        tuned = tuning.train(
            prepared,
            self.plan,
            rung.method,
            self.folder.file("checkpoints", rung.name),
            self.watcher,
            self.plan.train_limit(rung.name, self.clock.seconds),
        )
        earlier = max(0.0, tuned.outcome.seconds - watch.seconds)  # trained before this process began
        try:
            size = tuning.save(prepared, tuned, self.folder.file("adapters", rung.name))
            between = watch.seconds
            self.watcher.begin(rung.name, "answering test rows")
            prompts = [example.prompt for example in self.test]
            answers = complete(
                prepared.speaker, self.test, prompts, prepared.max_new_tokens, self.watcher.rows
            )
            evaluation = judge(prepared.task, self.test, answers, self.settings.seed)
            self.watcher.begin(rung.name, "measuring what it forgot")
            drift = forgetting.drift(prepared.base, tuned.attached, self.texts)
        finally:
            tuned.attached.detach()
        outcome = tuned.outcome
        spent = self._cost(
            earlier + watch.seconds,
            memory,
            train_seconds=outcome.seconds,
            eval_seconds=watch.seconds - between,
            train_tokens=outcome.tokens,
            trainable_parameters=tuned.trainable,
            adapter_bytes=size,
        )
        best = Choice("best checkpoint", f"step {outcome.best_step} of {outcome.planned_steps}")
        result = self._result(
            rung,
            "ok",
            started,
            evaluation=evaluation,
            cost=spent,
            choices=(best,),
            forgetting=drift,
            curve=outcome.curve,
            applied=tuned.applied,
            notes=outcome.notes,
            mechanisms=outcome.mechanisms,
        )
        return result, evaluation.answers

    def _cost(self, seconds: float, memory: cost.PeakMemory, **parts: Any) -> Cost:
        s = self.settings
        return Cost(
            seconds=seconds,
            peak_memory_bytes=memory.bytes,
            money=cost.money(seconds, s.price_per_hour),
            currency=s.currency if s.price_per_hour is not None else "",
            **parts,
        )

    def _result(
        self, rung: Rung, status: Any, started: str, evaluation: Evaluation | None = None, **parts: Any
    ) -> Result:
        assert self.plan is not None
        return Result(
            rung=rung.name,
            method=rung.method or "prompt",
            status=status,
            order=rung.order,
            base=self.prepared.base.name,
            fingerprint=self._mark()[0],
            primary=evaluation.primary if evaluation else None,
            metrics=evaluation.metrics if evaluation else (),
            counts=evaluation.counts if evaluation else {},
            quote=self.plan.quote(rung.name),
            asked=self.asked,
            started=started,
            finished=storage.now(),
            **parts,
        )

    def _conclude(self, results: tuple[Result, ...]) -> Climbed:
        answers: dict[str, Sequence[Answer]] = {}
        for result in results:
            if result.status == "ok":
                rows = storage.read_jsonl(self.folder.file("predictions", f"{result.rung}.jsonl"))
                answers[result.rung] = [from_json(Answer, row) for row in rows]
        examples: Sequence[Example] = self.test
        drawn = verdict(results, answers, examples, self.prepared.task, self.settings.seed)
        storage.write_json(self.folder.file("verdict.json"), to_json(drawn))
        return Climbed(self.folder.path, self._write_info(storage.now()), results, drawn)
