"""What earlier climbs left in a run folder, and whether a later one can add to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rung import storage
from rung.cost import Stopwatch
from rung.errors import ResumeError
from rung.ladder import hopeless
from rung.ladder.context import Context
from rung.ladder.divide import Divided
from rung.ladder.plan import Plan, make_plan, most_of
from rung.ladder.rungs import RUNGS, Rung
from rung.records import Quote, Result, RunInfo, from_json, to_json
from rung.run_folder import RunFolder

MORE = 1.1  # times the rows it had: from there on a finished rung runs again


def finished_rungs(folder: RunFolder) -> list[Rung]:
    """The rungs that have a result in `folder` under the name of today; those from outside the package that
    are not registered do not count."""
    stems = {path.stem for path in folder.file("results").glob("*.json")}
    listed = [rung for name, rung in RUNGS.items() if name in stems]
    others = [RUNGS[name] for name in sorted(stems - set(RUNGS)) if name in RUNGS]
    return listed + [rung for rung in others if rung.name in stems]


def info_of(folder: RunFolder) -> RunInfo | None:
    """run.json as an earlier run of the same command left it. Raises `ResumeError` where it is damaged."""
    path = folder.file("run.json")
    return from_json(RunInfo, storage.read_json(path), path.name) if path.exists() else None


def same_rows(folder: RunFolder, info: RunInfo | None, rows: Divided) -> bool:
    """Whether earlier climbs, described by `info`, had the same parts as `rows`.

    If not, their results are deleted: a base that is loaded later may not be able to read every row. Raises
    `ResumeError` where earlier climbs had another base.
    """
    if info is None:
        return True
    facts = rows.base_facts()
    was, now = info.applied.get("base_fingerprint"), facts.get("fingerprint")
    if was and now and was != now:
        raise ResumeError(
            "the base is not the one that this run began with",
            where=str(folder.path),
            why=f"{rows.settings.base} has the fingerprint {now}, not {was}",
            fix="Give the original base, or another --output",
        )
    if info.data.get("split") in (None, rows.facts()["split"]):
        return True
    for path in folder.file("results").glob("*.json"):
        storage.delete(path)
    return False


def open_again(context: Context, asked: Sequence[Rung], clock: Stopwatch) -> None:
    """With another budget than that of the plan so far, take out of it what runs again, results included.

    That is every rung of `asked` that was cut short, left out or has not begun, and a finished one to which a
    longer budget gives at least `MORE` times its rows; but none takes the time of one that has not finished.
    A rung that was stopped while it ran continues as it was planned. With the same budget these are the rungs
    that were left out as hopeless, if that is not wanted any more.
    """
    old = context.plan
    results = _results(context.folder, asked)
    if old.budget == context.settings.budget:
        again = [name for name in hopeless.given_a_chance(context) if name in results]
        if not again:
            return
        context.watcher.say(f"Not left out as hopeless any more: {', '.join(again)}")
    else:
        again = _with_new_budget(context, asked, results, clock)
        if again:
            context.watcher.say(f"With the new budget these rungs are planned again: {', '.join(again)}")
    run = {rung.name for rung in finished_rungs(context.folder)}
    waiting = [quote.rung for quote in old.quotes if quote.rung not in run.union(old.begun)]
    context.settle(_without(old, [*again, *waiting]))
    storage.write_json(context.folder.file("plan.json"), to_json(context.plan))
    for name in again:
        storage.delete(context.folder.file("results", f"{name}.json"))


def _with_new_budget(
    context: Context, asked: Sequence[Rung], results: Mapping[str, Result], clock: Stopwatch
) -> list[str]:
    """The rungs with `results` that run again."""
    ended = {name: result for name, result in results.items() if result.status == "ok"}
    stopped = [name for name in context.plan.begun if name not in results]
    more = _given_more(context, asked, ended, stopped, clock)
    return [name for name in results if name in more or name not in ended]


def _results(folder: RunFolder, rungs: Sequence[Rung]) -> dict[str, Result]:
    """What `rungs` have measured, by name, in their order."""
    paths = {rung.name: folder.file("results", f"{rung.name}.json") for rung in rungs}
    return {
        name: from_json(Result, storage.read_json(path), path.name)
        for name, path in paths.items()
        if path.is_file()
    }


def _given_more(
    context: Context,
    asked: Sequence[Rung],
    ended: Mapping[str, Result],
    stopped: Sequence[str],
    clock: Stopwatch,
) -> list[str]:
    """The rungs that have `ended` and that a plan for the new budget gives more rows."""
    old, budget = context.plan, context.settings.budget
    longer = budget is None or (old.budget is not None and budget > old.budget)
    few = [rung for rung in asked if rung.name in ended and _had_few(context, ended[rung.name])]
    if not few or not longer:
        return []
    waiting = [rung for rung in asked if rung.name not in ended and rung.name not in stopped]
    every = [rung for rung in asked if rung in waiting or rung in few]
    before = _without(old, [rung.name for rung in every])

    def planned(rungs: Sequence[Rung]) -> Plan:
        context.size = most_of(context.settings, context.whole, before=old)
        return make_plan(context, rungs, clock, before)

    alone, together = planned(waiting), planned(every)
    if any(alone.quote(rung.name).fits > together.quote(rung.name).fits for rung in waiting):
        return []
    return [rung.name for rung in few if _more(together.quote(rung.name), ended[rung.name])]


def _had_few(context: Context, result: Result) -> bool:
    """Whether a rung had fewer rows than there are."""
    trained = result.quote.train_rows if result.quote else 0
    return 0 < trained < len(context.whole.train) or sum(result.counts.values()) < context.plan.test_rows


def _more(quote: Quote, result: Result) -> bool:
    trained = result.quote.train_rows if result.quote else 0
    answered = sum(result.counts.values())
    if not quote.fits or quote.train_rows < trained or quote.test_rows < answered:
        return False
    return quote.train_rows >= MORE * max(1, trained) or quote.test_rows >= MORE * max(1, answered)


def _without(plan: Plan, names: Sequence[str]) -> Plan:
    """`plan` before it had the rungs called `names`."""
    return replace(
        plan,
        quotes=tuple(quote for quote in plan.quotes if quote.rung not in names),
        begun=tuple(name for name in plan.begun if name not in names),
        limits={name: limit for name, limit in plan.limits.items() if name not in names},
        forecasts={name: found for name, found in plan.forecasts.items() if name not in names},
    )
