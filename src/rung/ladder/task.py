"""Run one rung and keep what it measured: in a climb, or in any process that sees the run folder.

A task reads config.yaml, run.json, claim.json, plan.json and data.jsonl, which the climb has written before.
It writes results/<rung>.json, predictions/<rung>.jsonl, answer/<rung>/, checkpoints/<rung>/ and, for a tuned
rung, adapters/<rung>/. It also adds files to features/, which all rungs share, and lines to events.jsonl.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rung import cost, storage
from rung.config import Settings, make_settings
from rung.data.formats import Loaded
from rung.data.split import Split
from rung.errors import ResourceError, ResumeError, UsageError
from rung.evaluation.judging import Evaluation, judge
from rung.evaluation.likelihood import likelihood_measures, with_likelihoods
from rung.evaluation.tasks import KINDS
from rung.ladder import hopeless, library, seen
from rung.ladder.against import against_others
from rung.ladder.context import Context
from rung.ladder.divide import Divided, parts_of
from rung.ladder.fitting import FEWEST_TEST
from rung.ladder.library import Library
from rung.ladder.pace import FAIR, share_done
from rung.ladder.plan import SAFETY, Plan, most_of
from rung.ladder.rungs import RUNGS, Outcome, Rung, Skipped, place
from rung.ladder.sized import reason_of
from rung.ladder.watch import Late, Silent, Until, Watcher
from rung.plain import read_plain
from rung.records import (
    Answer,
    Cost,
    Example,
    Passage,
    Quote,
    Result,
    RungStatus,
    RunInfo,
    from_json,
    to_json,
)
from rung.run_folder import RunFolder

if TYPE_CHECKING:
    from rung.bases.base import Base
    from rung.ladder.prepare import Prepared

DATA = "data.jsonl"
TEXT = "text"  # the part that documents are in
_MOST_YAML = 10 << 20  # bytes of config.yaml
_GRACE = 0.02  # of the budget: a rung may always answer for so long


def run_task(folder: Path, name: str, watcher: Watcher | None = None) -> Result:
    """Run the rung called `name` of the climb in `folder`, in any process.

    Rows, epochs and limits are those of the plan on disk. A rung that fails is a `Result` with its reason.
    Raises `UsageError` where `folder` holds no climb with that rung, `ResourceError` where nothing can be
    written.
    """
    context = from_disk(folder, watcher or Silent())
    if not any(quote.rung == name for quote in context.plan.quotes):
        known = ", ".join(quote.rung for quote in context.plan.quotes)
        raise UsageError(f"the climb has no rung {name!r}", where=str(folder), fix=f"Its rungs: {known}")
    return run_rung(context, RUNGS[name])


def write_rows(folder: RunFolder, parts: Split, known: Library | None = None) -> None:
    """Keep the rows of each part, and the passages, for `from_disk`."""
    if known is not None:
        known.save()
    rows = [{"part": name, "example": to_json(one)} for name, examples in parts_of(parts) for one in examples]
    rows += [{"part": TEXT, "passage": to_json(one)} for one in parts.texts]
    storage.write_jsonl(folder.file(DATA), rows)


def _settings(path: Path, plan: Plan) -> Settings:
    """The settings that a climb wrote. Raises `ResumeError`."""
    try:
        applied = yaml.safe_load(read_plain(path, _MOST_YAML))["applied"]
        return make_settings(applied | plan.kept(applied["threads"]), path.name)
    except (OSError, yaml.YAMLError, RecursionError, ValueError, LookupError, TypeError, UsageError) as error:
        what = f"does not hold the settings of the climb ({type(error).__name__})"
        raise ResumeError(what, where=path.name, fix="Run the climb's command again") from error


def from_disk(path: Path, watcher: Watcher, base: Base | None = None) -> Context:
    """The context of the climb in `path`; a `base` that is loaded already is used if it is in the same number
    format. Raises `UsageError` where there is no climb."""
    folder = RunFolder(path)
    if not folder.file(DATA).is_file():
        raise UsageError("this is not the folder of a climb that has begun", where=str(path))
    info = from_json(RunInfo, storage.read_json(folder.file("run.json")), "run.json")
    plan = from_json(Plan, storage.read_json(folder.file("plan.json")), "plan.json")
    settings = _settings(folder.file("config.yaml"), plan)
    parts: dict[str, list[Example]] = {"train": [], "dev": [], "test": []}
    texts: list[Passage] = []
    for row in storage.read_jsonl(folder.file(DATA)):
        if isinstance(row, dict) and row.get("part") == TEXT:
            texts.append(from_json(Passage, row.get("passage"), DATA))
            continue
        if not isinstance(row, dict) or str(row.get("part")) not in parts:
            raise ResumeError("a row is of no part", where=DATA, fix="Climb again with another --output")
        parts[row["part"]].append(from_json(Example, row.get("example"), DATA))
    split = Split(tuple(parts["train"]), tuple(parts["dev"]), tuple(parts["test"]), texts=tuple(texts))
    every = (*split.train, *split.dev, *split.test)
    facts = [info.data.get(name) for name in ("format", "file", "sha256")]
    if not all(isinstance(fact, str) for fact in facts):
        raise ResumeError(
            "does not say which file was read", where="run.json", fix="Run the climb's command again"
        )
    format, file, sha256 = map(str, facts)
    loaded = Loaded(every, format, file, sha256)
    rows = Divided(settings=settings, loaded=loaded, loaded_test=None, split=split, task=info.task)

    def load() -> Prepared:
        from rung.ladder.prepare import on_base

        return on_base(rows, base)

    context = Context(
        settings=settings,
        task=info.task,
        split=split,
        folder=folder,
        watcher=watcher,
        load=load,
        size=most_of(settings, split),
        forgetting=any(RUNGS[quote.rung].kind == "tune" for quote in plan.quotes),
        base_name=info.base,
        library=library.read(folder.file(library.FILE)),
        fingerprint=storage.read_object(folder.file("claim.json"), fingerprint=str)["fingerprint"],
        asked=info.asked,
    )
    context.settle(plan)
    return context


def run_rung(context: Context, rung: Rung) -> Result:
    """Run `rung`, let it answer the test rows once, and write what was measured."""
    folder, started = context.folder, storage.now()
    folder.event("rung begins", rung=rung.name)
    result, answers = _try(context, rung, started)
    lines = [to_json(answer) for answer in answers]
    storage.write_jsonl(folder.file("predictions", f"{rung.name}.jsonl"), lines)
    storage.write_json(folder.file("results", f"{rung.name}.json"), to_json(result))
    drop_checkpoints(folder, result)
    folder.event("rung ends", rung=rung.name, status=result.status, reason=result.reason)
    return result


def drop_checkpoints(folder: RunFolder, result: Result) -> None:
    """Delete the checkpoints of a rung that has ended; one that failed may continue from them."""
    if result.status in ("ok", "unfinished"):
        storage.remove(folder.file("checkpoints", result.rung))


def _try(context: Context, rung: Rung, started: str) -> tuple[Result, Sequence[Answer]]:
    quote = context.plan.quote(rung.name)
    if not quote.fits:
        status: RungStatus = "failed" if quote.failed else "skipped"
        return _result(context, rung, status, started, reason=quote.why), ()
    memory = cost.PeakMemory()
    memory.reset()
    watch = cost.Stopwatch()
    try:
        outcome = _run(context, rung, watch)
        spent = watch.seconds + outcome.earlier_seconds
        dev = hopeless.on_dev(context, rung, outcome)
        late = watch.seconds + outcome.earlier_seconds
        test = _affordable(context, quote, late, outcome)
        evaluation, answering = _answered(context, rung, outcome, test)
    except ResourceError:
        raise
    except Late:
        return _stopped(context, rung, started, watch.seconds), ()
    except Skipped as skipped:
        return _result(context, rung, "skipped", started, reason=str(skipped)), ()
    except Exception as error:  # noqa: BLE001  a failed rung is a row with its reason, not a hole
        context.folder.event("rung failed", rung=rung.name, trace=traceback.format_exc())
        return _result(context, rung, "failed", started, reason=reason_of(error)), ()
    result = _result(
        context,
        rung,
        started=started,
        **({"status": "ok"} | _standing(context, quote, outcome)),
        primary=evaluation.primary,
        metrics=(
            *evaluation.metrics,
            *seen.measured(
                context.task, context.whole.train, test, evaluation.answers, context.settings.seed
            ),
        ),
        counts=evaluation.counts,
        cost=_cost(context, outcome, spent + outcome.before_seconds, answering, memory),
        choices=outcome.choices,
        forgetting=outcome.forgetting,
        tradeoffs=outcome.tradeoffs,
        curve=outcome.curve,
        applied=outcome.applied,
        notes=(*outcome.notes, *_notes(context, quote, len(test))),
        mechanisms=outcome.mechanisms,
        dev=dev,
    )
    return result, evaluation.answers


def _run(context: Context, rung: Rung, watch: cost.Stopwatch) -> Outcome:
    """Let `rung` learn and choose. Raises `Late` where its choices use up the time for its answers."""
    limit, watcher = context.plan.limits.get(rung.name), context.watcher
    if limit is None:
        return rung.run(context, None)
    quote = context.plan.quote(rung.name)
    rows = quote.test_rows or len(context.split.test)
    last = limit - (quote.answer_seconds or 0.0) * min(1.0, FEWEST_TEST / max(1, rows))
    context.watcher = Until(watcher, lambda: watch.seconds > last)
    try:
        return rung.run(context, context.plan.train_limit(rung.name))
    finally:
        context.watcher = watcher


def _stopped(context: Context, rung: Rung, started: str, seconds: float) -> Result:
    """A rung that was stopped before it could answer."""
    return _result(
        context,
        rung,
        "unfinished",
        started,
        reason="its time was up before it could answer test rows",
        cost=Cost(seconds=seconds),
        needs_seconds=round((context.plan.budget or 0.0) + seconds, 1),
    )


def _affordable(context: Context, quote: Quote, spent: float, outcome: Outcome) -> tuple[Example, ...]:
    """The test rows that the rung answers: those of its quote; fewer, but a fair number, where it is late.

    It is late where the answers, at the pace the rung has shown so far, would take it past its limit.
    """
    rows = quote.test_rows or len(context.split.test)
    limit, answering = context.plan.limits.get(quote.rung), quote.answer_seconds or 0.0
    making = (quote.seconds or 0.0) - answering
    if limit is not None and context.settings.budget is not None and making > 0:
        slower = max(1.0, spent / making)
        if outcome.train_seconds and outcome.train_tokens and quote.train_seconds:
            quoted = quote.train_seconds / max(1, quote.train_tokens)
            slower = max(slower, outcome.train_seconds / outcome.train_tokens / quoted)
        expected = answering * slower
        left = max(limit - spent, _GRACE * context.settings.budget)
        if expected > left:
            rows = max(min(rows, FEWEST_TEST), int(rows * left / expected))
    return context.sampled(context.split.test, rows)


def _standing(context: Context, quote: Quote, outcome: Outcome) -> dict[str, Any]:
    """Whether the rung had its chance: status, reason and the rest of its result."""
    if quote.train_seconds is None:
        return {}
    done = share_done(outcome.done, quote.train_rows, len(context.whole.train))
    if done >= FAIR:
        return {}
    return {
        "status": "unfinished",
        "reason": f"{done:.0%} of a fair training was done",
        "done": done,
        "needs_seconds": _needed(context, quote, done),
    }


def _needed(context: Context, quote: Quote, done: float) -> float | None:
    """The budget of a climb that would finish it: all tuned rungs get the same, so all get more."""
    budget, training = context.plan.budget, quote.train_seconds
    if budget is None or not training or done <= 0:
        return None
    tuned = sum(one.fits and one.train_seconds is not None for one in context.plan.quotes)
    return round(budget + tuned * training * (FAIR / done - 1) / SAFETY, 1)


def _notes(context: Context, quote: Quote, test: int) -> tuple[str, ...]:
    """Where the budget left fewer rows than there are."""
    notes = []
    train = len(context.whole.train)
    if quote.train_seconds is not None and quote.train_rows < train:
        notes.append(f"tuned on {quote.train_rows:,} of {train:,} train rows")
    if test < len(context.split.test):
        notes.append(f"the budget left {test:,} of {len(context.whole.test):,} test rows in use")
    return tuple(notes)


def _answered(
    context: Context, rung: Rung, outcome: Outcome, test: tuple[Example, ...]
) -> tuple[Evaluation, Cost]:
    """The test rows, answered once and graded, and what answering cost; the responder is saved and closed."""
    try:
        context.watcher.begin(rung.name, "answering test rows")
        watch = cost.Stopwatch()
        completions = outcome.responder.answer(test, context.watcher)
        seconds = watch.seconds
        completions = against_others(context, outcome.responder, test, completions)
        compared = KINDS[context.task.kind].by_likelihood
        pairs = outcome.responder.likelihoods(test) if compared else {}
        outcome.responder.save(context.folder.file("answer", rung.name))
    finally:
        outcome.close()
    rows = max(1, len(completions))
    written = sum(one.tokens for one in completions) / rows
    answering = Cost(
        answer_seconds=seconds,
        answers=len(completions),
        answer_tokens=sum(one.read for one in completions) / rows + written,
        answer_written=written,
        answer_money=cost.money(seconds, context.settings.price_per_hour),
    )
    found = judge(context.task, test, completions, context.settings.seed)
    answers = with_likelihoods(found.answers, pairs)
    more = likelihood_measures(answers, seed=context.settings.seed)
    return replace(found, answers=answers, metrics=(*found.metrics, *more)), answering


def _cost(
    context: Context, outcome: Outcome, making: float, answering: Cost, memory: cost.PeakMemory
) -> Cost:
    """Both costs of a rung: `making` seconds, and what `_answered` measured."""
    settings = context.settings
    seconds = making + (answering.answer_seconds or 0.0)
    return replace(
        answering,
        seconds=seconds,
        train_seconds=outcome.train_seconds,
        eval_seconds=seconds - (outcome.train_seconds or 0.0),
        train_tokens=outcome.train_tokens,
        peak_memory_bytes=memory.bytes,
        trainable_parameters=outcome.trainable_parameters,
        adapter_bytes=outcome.adapter_bytes,
        money=cost.money(seconds, settings.price_per_hour),
        currency=settings.currency if settings.price_per_hour is not None else "",
    )


def _result(context: Context, rung: Rung, status: RungStatus, started: str, **parts: Any) -> Result:
    return Result(
        rung=rung.name,
        method=rung.method or rung.name,
        status=status,
        order=place(rung),
        base=context.base_name,
        fingerprint=context.fingerprint,
        quote=context.plan.quote(rung.name),
        asked=context.asked,
        started=started,
        finished=storage.now(),
        kind=rung.kind,
        forecast=context.plan.forecasts.get(rung.name),
        **parts,
    )
