"""The content of a run folder, read and checked once, with every number as the text that is shown.

The terminal and the page show the same `View`.  A rung that failed or was skipped is a row with its reason,
and a run that is not finished is a view without a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from rung import numbers
from rung.errors import DataError
from rung.records import (
    Answer,
    Cost,
    Example,
    Measure,
    Result,
    RungKind,
    RunInfo,
    Verdict,
    from_json,
)
from rung.report.costs import VOLUME, Costs, costs
from rung.report.mistakes import Decider, decider
from rung.storage import read_json, read_jsonl

T = TypeVar("T")
NO_MODEL, FROZEN, TUNED, REMOTE = "no language model", "the base as it is", "the base, tuned", "hosted models"
GROUPS: Mapping[RungKind, str] = {
    "floor": NO_MODEL,
    "classical": NO_MODEL,
    "prompt": FROZEN,
    "probe": FROZEN,
    "tune": TUNED,
    "remote": REMOTE,
}


@dataclass(frozen=True, slots=True)
class Rung:
    """One row of the table, every cell as text; `result` keeps the numbers for the charts."""

    result: Result
    recommended: bool
    quality: (
        str  # "63.1 (58.0 to 68.2)", "63.1 (58.0 to 68.2; 5 splits)", or with "not finished (12%)"; "failed"
    )
    train: str
    total: str
    making: str  # time, and money on a line of its own where there is a price
    thousand: str  # the same of 1,000 answers
    at_volume: str  # the same of making and all answers
    tokens: str  # of one answer, read and written
    rows: str  # test rows that were answered and graded
    forgot: str  # nats/token
    memory: str
    parameters: str
    adapter: str
    money: str
    missed: str  # test rows that were not answered in the right form
    notes: tuple[str, ...]  # the reason first, where there is one
    regret: str = numbers.ABSENT  # expected, in the unit of a difference
    chance: str = numbers.ABSENT  # of being within the tolerance of the best

    @property
    def name(self) -> str:
        return numbers.one_line(self.result.rung)

    @property
    def ok(self) -> bool:
        return self.result.status == "ok"

    @property
    def group(self) -> str:
        """What answers: no model, the base as it is, the tuned base or a hosted one."""
        kind = self.result.kind or ("tune" if self.result.tunes else "prompt")
        return GROUPS[kind]


@dataclass(frozen=True, slots=True)
class View:
    """Everything a report shows."""

    info: RunInfo
    rungs: tuple[Rung, ...]  # in ladder order
    verdict: Verdict | None
    sentence: str
    examples: tuple[Example, ...]
    answers: Mapping[str, tuple[Answer, ...]]  # by rung, in ladder order
    judge: Decider | None
    before: str | None  # the rung that `after` is compared with
    after: str | None  # the recommended rung, or the best one so far

    @property
    def notes(self) -> dict[str, tuple[Rung, ...]]:
        """Each note, with the rungs that have it."""
        found: dict[str, tuple[Rung, ...]] = {}
        for rung in self.rungs:
            for note in rung.notes:
                found[note] = (*found.get(note, ()), rung)
        return found

    @property
    def metric(self) -> str:
        """Name of the primary metric."""
        return numbers.metric_name(self.info.task.primary)

    @property
    def metric_unit(self) -> str:
        """Unit of the primary metric, ``%`` for shares; empty before the first result."""
        measure = self._primary()
        return numbers.unit(measure) if measure else ""

    @property
    def higher_is_better(self) -> bool:
        measure = self._primary()
        return measure.higher_is_better if measure else True

    @property
    def tolerance(self) -> str:
        """``within 1 point``; empty where the verdict has no regrets."""
        measure = self._primary()
        if measure is None or self.verdict is None or self.verdict.tolerance is None:
            return ""
        tolerance = self.verdict.tolerance * numbers.factor(measure)
        if measure.unit in ("", "points"):
            return f"within {numbers.points(tolerance)}"
        return f"within {numbers.gap(tolerance, measure.unit)}"

    @property
    def volume(self) -> int:
        """Answers for which cost is counted."""
        if self.verdict is not None and self.verdict.volume is not None:
            return self.verdict.volume
        return int(self.info.applied.get("volume") or VOLUME)

    @property
    def max_forgetting(self) -> float | None:
        """The most that a tuned rung may have forgotten, in nats a token; None without a bound."""
        bound = self.info.applied.get("max_forgetting")
        return float(bound) if isinstance(bound, int | float) else None

    @property
    def best_prompting(self) -> Rung | None:
        """The best prompting rung, of the verdict where it names one."""
        named = self.verdict.best_prompting if self.verdict else None
        done = [r.result for r in self.rungs if r.ok and r.result.prompts and _known(r.result)]
        return self.find(named if any(one.rung == named for one in done) else _best(done))

    @property
    def measured(self) -> bool:
        """Whether making and answering were timed apart."""
        return any(rung.making != numbers.ABSENT for rung in self.rungs)

    @property
    def same_rows(self) -> bool:
        """Whether all rungs that were measured answered equally many test rows."""
        return len({rung.result.primary.n for rung in self.rungs if rung.result.primary}) < 2

    @property
    def splits(self) -> int:
        """Over how many splits of the rows scores are means."""
        return max((_splits(rung.result) for rung in self.rungs), default=1)

    @property
    def test_rows(self) -> str:
        """``112 test rows``, or ``187 test rows in 5 splits``."""
        rows = max((r.result.primary.n for r in self.rungs if r.result.primary), default=len(self.examples))
        return f"{numbers.count(rows)} test rows" + (f" in {self.splits} splits" if self.splits > 1 else "")

    @property
    def costs(self) -> Costs:
        """The two costs of all finished rungs."""
        return costs([rung.result for rung in self.rungs])

    @property
    def parts(self) -> str:
        """What each column of the data is, as one line; empty where that was not kept."""
        return numbers.one_line(str(self.info.data.get("parts", "")))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know about the data."""
        return tuple(numbers.one_line(str(line)) for line in self.info.data.get("warnings", ()))

    @property
    def finished(self) -> bool:
        return self.verdict is not None

    @property
    def recommended(self) -> Rung | None:
        return next((rung for rung in self.rungs if rung.recommended), None)

    def find(self, name: str | None) -> Rung | None:
        """The row of a rung, or ``None``."""
        return next((rung for rung in self.rungs if rung.result.rung == name), None)

    def _primary(self) -> Measure | None:
        return next((r.result.primary for r in self.rungs if r.result.primary is not None), None)


def load_view(run_folder: Path) -> View:
    """The view of a run folder. Raises `DataError` where it is none or a file in it cannot be used."""
    if not (run_folder / "run.json").is_file():
        raise DataError(
            "this is not a run folder: it has no run.json",
            where=str(run_folder),
            fix="Give the folder that `rung climb` printed, such as runs/<name>",
        )
    info = _one(RunInfo, run_folder / "run.json")
    verdict = None
    if (run_folder / "verdict.json").is_file():
        verdict = _one(Verdict, run_folder / "verdict.json")
    paths = sorted((run_folder / "results").glob("*.json"))
    stored = [(_result(run_folder, path.name), path.stem) for path in paths]
    stored.sort(key=lambda pair: (pair[0].order, pair[0].rung))
    results = [result for result, _ in stored]
    examples = _many(Example, run_folder / "test.jsonl")
    answers = {
        result.rung: rows
        for result, stem in stored
        if (rows := _many(Answer, run_folder / "predictions" / f"{stem}.jsonl"))
    }
    before, after = _rivals(results, verdict)
    view = View(
        info=info,
        rungs=(),
        verdict=verdict,
        sentence=_sentence(results, verdict),
        examples=examples,
        answers=answers,
        judge=decider(info.task, answers),
        before=before,
        after=after,
    )
    return replace(view, rungs=tuple(_row(result, verdict, view.volume) for result in results))


def _one(kind: type[T], path: Path) -> T:
    return from_json(kind, read_json(path), where=path.name)


def _result(run_folder: Path, name: str) -> Result:
    """The result over all splits, where the climb was repeated; else that of its one split."""
    pooled = run_folder / "splits" / "results" / name
    return _one(Result, pooled if pooled.is_file() else run_folder / "results" / name)


def _many(kind: type[T], path: Path) -> tuple[T, ...]:
    if not path.is_file():
        return ()
    rows = enumerate(read_jsonl(path), 1)
    return tuple(from_json(kind, row, where=f"{path.name}, line {n}") for n, row in rows)


def _row(result: Result, verdict: Verdict | None, volume: int) -> Rung:
    cost = result.cost
    reasons = [numbers.one_line(result.reason)] if result.reason else []
    if result.status == "unfinished" and result.needs_seconds is not None:
        reasons.append(f"a budget of {numbers.seconds(result.needs_seconds)} would finish it")
    drift = drift_of(result)
    regret = next((one for one in verdict.regrets if one.rung == result.rung), None) if verdict else None
    factor = numbers.factor(result.primary) if result.primary else 1.0
    return Rung(
        result=result,
        recommended=verdict is not None and verdict.recommended == result.rung,
        quality=_quality(result),
        train=numbers.seconds(cost.train_seconds),
        total=numbers.seconds(cost.seconds),
        making=_both(_making(result), cost.making_money, cost),
        thousand=_both(_times(cost.one_answer, 1000), _times(cost.one_answer_money, 1000), cost),
        at_volume=_both(cost.at(volume), cost.money_at(volume), cost),
        tokens=_tokens(cost),
        rows=numbers.count(result.primary.n) if result.primary and result.primary.n else numbers.ABSENT,
        forgot=numbers.significant(drift.value) if drift else numbers.ABSENT,
        memory=numbers.size(cost.peak_memory_bytes),
        parameters=numbers.short(cost.trainable_parameters),
        adapter=numbers.size(cost.adapter_bytes),
        money=numbers.money(cost.money, cost.currency),
        missed=_missed(result.counts),
        notes=(*reasons, *(numbers.one_line(note) for note in result.notes)),
        regret=_regret(regret.expected * factor, result) if regret else numbers.ABSENT,
        chance=numbers.chance(regret.chance) if regret else numbers.ABSENT,
    )


def _regret(value: float, result: Result) -> str:
    """Without its unit: in points, or as fine as the metric is."""
    unit = result.primary.unit if result.primary else ""
    return numbers.gap(value, unit).partition(" ")[0]


def drift_of(result: Result) -> Measure | None:
    """What a tuned rung forgot, in nats a token."""
    return next((m for m in result.forgetting if m.unit == "nats/token"), None)


def _known(result: Result) -> bool:
    return result.primary is not None and result.primary.value is not None


def _making(result: Result) -> float | None:
    """Seconds before the test rows; all seconds of a rung that was stopped before it came to them."""
    if result.status == "unfinished" and not result.cost.answers:
        return result.cost.seconds
    return result.cost.making_seconds


def _times(each: float | None, answers: int) -> float | None:
    return None if each is None else each * answers


def _both(seconds: float | None, money: float | None, cost: Cost) -> str:
    """Time, and money on a second line where there is a price."""
    time = numbers.seconds(seconds)
    return time if money is None else f"{time}\n{numbers.money(money, cost.currency)}"


def _tokens(cost: Cost) -> str:
    """``415 (3 written)``."""
    if cost.answer_tokens is None:
        return numbers.ABSENT
    written = f" ({numbers.count(cost.answer_written)} written)" if cost.answer_written else ""
    return numbers.count(cost.answer_tokens) + written


def _quality(result: Result) -> str:
    if result.status == "ok":
        splits, measured = _splits(result), numbers.quality(result.primary)
        return measured.replace(")", f"; {splits} splits)") if splits > 1 else measured
    if result.status == "unfinished":
        measured = f"{numbers.quality(result.primary)}, " if result.primary else ""
        return measured + numbers.unfinished(result)
    return result.status


def _splits(result: Result) -> int:
    """Over how many splits the score is a mean."""
    return int(result.applied.get("splits", 1))


def _missed(counts: Mapping[str, int]) -> str:
    shown = [f"{numbers.count(n)} {numbers.one_line(key)}" for key, n in counts.items() if n and key != "ok"]
    return ", ".join(shown) or ("0" if counts else numbers.ABSENT)


def _sentence(results: list[Result], verdict: Verdict | None) -> str:
    if verdict is not None:
        return numbers.one_line(verdict.sentence)
    if not results:
        return "No rung has finished yet."
    done = sum(result.status == "ok" for result in results)
    rungs = "1 rung has" if done == 1 else f"{done} rungs have"
    return f"This run is not finished: {rungs} a result, and there is no verdict yet."


def _rivals(results: list[Result], verdict: Verdict | None) -> tuple[str | None, str | None]:
    """Two rungs to compare row by row: the recommended one, and its rival.

    Without a recommendation: the best tuned rung, or else the best one.  A tuned rung is compared with the
    best prompting one, any other with the best of the rest.  The floor is left out.
    """
    scored = {one.rung: one for one in results if one.status == "ok" and one.kind != "floor" and _known(one)}
    chosen = verdict.recommended if verdict else None
    if chosen not in scored:
        chosen = _best([one for one in scored.values() if one.tunes]) or _best([*scored.values()])
    if chosen is None:
        return None, None
    rest = [one for one in scored.values() if one.rung != chosen]
    prompting = [one for one in rest if one.prompts]
    named = verdict.best_prompting if verdict else None
    if not scored[chosen].tunes or not prompting:
        return _best(rest), chosen
    return named if any(one.rung == named for one in prompting) else _best(prompting), chosen


def _best(results: list[Result]) -> str | None:
    def worth(result: Result) -> float:
        assert result.primary is not None
        assert result.primary.value is not None
        return result.primary.value if result.primary.higher_is_better else -result.primary.value

    return max(results, key=worth).rung if results else None
