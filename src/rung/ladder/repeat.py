"""A climb repeated on other splits of its rows: which rungs run on them, and the answers of all as one.

With few rows one split leaves few of them for the test.  The other splits are climbs of their own, each on
the next seed and in a folder of its own.  The cheap rungs run on all of them, the others only where the first
split leaves them a chance to be the best.

A row may be in the test part of several splits.  It counts once, with the mean of its answers: answers to one
row resemble each other, and counting it twice would make the intervals too narrow.  Rows do not show what
training on other rows would change; `inflation` adds that (docs/verdict.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rung.border import foreign
from rung.config import Settings
from rung.errors import ResumeError
from rung.evaluation.likelihood import likelihood_measures
from rung.evaluation.metrics import METRICS, measures
from rung.records import Answer, Example, Result, Task, Verdict, from_json, to_json
from rung.run_folder import RunFolder
from rung.storage import read_jsonl, write_json

FOLDER = "splits"  # in the run folder: one folder for each further split, and the results over all of them
FINALIST = 0.05  # chance of being within the tolerance of the best from which a rung runs on every split
_CHEAP = ("floor", "classical", "probe")  # kinds that run on every split
_SEEDS = 2**32


@dataclass(frozen=True, slots=True)
class Tried:
    """What the rungs measured on one split."""

    results: tuple[Result, ...]
    answers: Mapping[str, Sequence[Answer]]  # of the rungs that finished
    examples: Sequence[Example]  # the test rows
    known: int  # rows to learn from: train and dev


@dataclass(frozen=True, slots=True)
class Pooled:
    """All splits as one. An example is a row as one split has it."""

    results: tuple[Result, ...]
    answers: Mapping[str, Sequence[Answer]]
    examples: Sequence[Example]
    row_of: Mapping[str, str]  # example id -> row
    splits: int
    inflation: float = 1.0  # of the variance, by training on other rows

    @property
    def note(self) -> str:
        """What a score is, for the reasons of the verdict."""
        return (
            f"scores are means over {self.splits} splits with {len(set(self.row_of.values())):,} different "
            "test rows: a row counts once, with the mean of its answers, and the bootstrap draws rows; their "
            f"variance counts {self.inflation:.2f} times, because other train rows give other answers"
        )


def shared(settings: Settings) -> Settings:
    """`settings` of one split: each gets an equal share of the budget."""
    if settings.budget is None:
        return settings
    return settings.model_copy(update={"budget": settings.budget / settings.splits})


def settings_of(
    settings: Settings, number: int, folder: RunFolder, rungs: Sequence[str], kept: Mapping[str, Any]
) -> Settings:
    """Settings of the climb on split `number`, 0 being that of the run folder; `kept` come from its plan."""
    changed = {
        "seed": (settings.seed + number) % _SEEDS,
        "output": folder.file(FOLDER, str(number)),
        "rungs": tuple(rungs),
        "splits": 1,
        "stop_when_hopeless": False,  # every split has the same rungs
    }
    return settings.model_copy(update=changed | dict(kept))


def finalists(results: Sequence[Result], drawn: Verdict) -> tuple[str, ...]:
    """The rungs that run on the other splits, where `results` and `drawn` are those of the first."""
    chances = {one.rung: one.chance for one in drawn.regrets}
    return tuple(
        one.rung
        for one in results
        if one.status == "ok"
        and (
            one.kind in _CHEAP
            or one.rung in (drawn.recommended, drawn.best)
            or chances.get(one.rung, 0.0) >= FINALIST
        )
    )


def read(
    folder: RunFolder, results: Sequence[Result], examples: Sequence[Example], known: int, task: Task
) -> Tried:
    """What the climb in `folder` left of `results` on its test rows, `examples`; see `Tried`.

    Raises `ResumeError` where a file cannot be read, or holds answers from which no score follows.
    """
    answers = {}
    for result in results:
        if result.status == "ok":
            path = folder.file("predictions", f"{result.rung}.jsonl")
            given = [from_json(Answer, row, path.name) for row in read_jsonl(path)]
            with foreign(partial(_damaged, result.rung)):
                _require_graded(task, examples, given)
            answers[result.rung] = given
    return Tried(tuple(results), answers, examples, known)


def _require_graded(task: Task, examples: Sequence[Example], answers: Sequence[Answer]) -> None:
    """Raises whatever a metric does where the grade of an answer lacks what it needs."""
    known = {example.id: example for example in examples}
    graded = [one for one in answers if one.status != "error" and one.example_id in known]
    rows, texts = [known[one.example_id] for one in graded], [one.text for one in graded]
    for name in task.metrics:
        METRICS[name].rows(task, rows, graded, texts)


def _damaged(rung: str, text: str) -> ResumeError:
    return ResumeError(
        f"the grades of its answers are damaged: {text}",
        where=f"{rung}.jsonl",
        fix=f"Delete results/{rung}.json and run the same command again",
    )


def alone(tried: Tried) -> Pooled:
    """One split as it is."""
    return Pooled(tried.results, tried.answers, tried.examples, {}, 1)


def inflation(test: int, known: int) -> float:
    """How many times as large the variance of a score is as that which `test` rows show: 1 + test / known.

    The term that Nadeau and Bengio (2003, Machine Learning 52, 239-281) add for train parts that overlap.
    """
    return 1 + test / known


def pool(tried: Sequence[Tried], task: Task, seed: int = 0) -> Pooled:
    """All splits as one; the first holds every rung.

    The results are those of the first split with scores over all splits. Costs and choices stay those of the
    first, whose rungs are the ones that the run folder keeps.
    """
    inflated = 1.0
    if len(tried) > 1:
        inflated = inflation(sum(len(one.examples) for one in tried), sum(one.known for one in tried))
    row_of: dict[str, str] = {}
    examples: dict[str, Example] = {}
    answers: dict[str, list[Answer]] = {}
    for number, one in enumerate(tried):
        for example in one.examples:
            name = f"{number}/{example.id}"
            row_of[name] = example.id
            examples[name] = replace(example, id=name)
        for rung, given in one.answers.items():
            named = [replace(answer, example_id=f"{number}/{answer.example_id}") for answer in given]
            answers.setdefault(rung, []).extend(named)
    results = []
    for result in tried[0].results:
        given = answers.get(result.rung, [])
        splits = sum(result.rung in one.answers for one in tried)
        if splits > 1:
            asked = [examples[answer.example_id] for answer in given]
            texts = [answer.text for answer in given]
            found = measures(task, asked, given, texts, seed, row_of, inflated)
            found += likelihood_measures(given, row_of, inflated, seed)
            counts: Counter[str] = Counter(answer.status for answer in given)
            note = f"mean over {splits} splits: {len(given):,} answers to {found[0].n:,} test rows"
            result = replace(
                result,
                primary=found[0],
                metrics=found,
                counts={status: counts[status] for status in result.counts},
                notes=(*result.notes, note),
                applied={**result.applied, "splits": splits},
            )
        elif splits == 1 and len(tried) > 1:
            result = replace(result, notes=(*result.notes, f"ran on 1 of {len(tried)} splits"))
        if result.needs_seconds is not None:  # of one split
            result = replace(result, needs_seconds=result.needs_seconds * len(tried))
        results.append(result)
    return Pooled(tuple(results), answers, tuple(examples.values()), row_of, len(tried), inflated)


def write(folder: RunFolder, results: Sequence[Result]) -> None:
    """Keep the results over all splits next to those of the first one, for the report."""
    for result in results:
        write_json(folder.file(FOLDER, "results", f"{result.rung}.json"), to_json(result))
