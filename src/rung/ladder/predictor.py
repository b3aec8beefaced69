"""A rung of a finished climb, loaded to answer new rows; see `load`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from rung.border import foreign
from rung.data.new_rows import Asker
from rung.data.parts import Reading
from rung.data.strict_json import Row, RowError, show
from rung.errors import DataError, ResumeError, UsageError, nearest
from rung.evaluation.tasks import KINDS
from rung.evaluation.tasks.multi_label import labels_of, renamed
from rung.ladder.responder import Responder, Scores
from rung.ladder.rungs import RUNGS
from rung.records import Completion, Example, Message, Result, RunInfo, Task, Verdict, from_json
from rung.storage import fingerprint, read_json

T = TypeVar("T")
USABLE = ("ok", "unfinished")  # a rung that was cut short can answer too, where it is named


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one row."""

    text: str  # a label as the climb's file writes it, else what was generated; "" where there is none
    probabilities: Mapping[str, float] | None = None  # label -> probability, the most probable first
    error: str = ""  # why there is no answer, or that it was cut off

    @property
    def probability(self) -> float | None:
        """That of the answer; None where there are no probabilities."""
        return (self.probabilities or {}).get(self.text)


@dataclass(frozen=True, slots=True)
class _Answered:
    completion: Completion
    known: dict[str, float] | None = None  # label in the file -> probability


@dataclass(frozen=True)
class Predictor:
    """Answers rows with one rung of a climb."""

    run: Path
    rung: str
    task: Task
    asker: Asker
    responder: Responder
    mark: str  # stands for what was loaded
    result: Result
    batch: int  # rows that are worth answering at once

    def __repr__(self) -> str:
        measure = self.result.primary
        score = f", {measure.name} {measure.value:.3f}" if measure and measure.value is not None else ""
        asks = ", ".join(self.columns)
        return f"<{self.rung} of {self.run}: {self.task.kind}{score}; asks with {asks}>"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a row must have."""
        return self.asker.columns

    @cached_property
    def scores(self) -> bool:
        """Whether there are probabilities of labels."""
        probe = Example("", (Message("user", "x"), Message("assistant", "")), 0)
        return bool(self.task.labels) and self.responder.score([probe], self.task.labels) is not None

    def answer(
        self, rows: Sequence[str | Mapping[str, object]], probabilities: bool = True
    ) -> list[Prediction]:
        """One prediction for each row, in their order: a text, or a dict of the columns of `columns`.

        A row that cannot be answered has an empty text and says why in ``error``. Without `probabilities`
        labels are not scored, which saves a base most of the time where there are many. Raises `UsageError`
        for what is neither text nor dict, `DataError` for texts where a prompt has several columns.
        """
        if isinstance(rows, str | Mapping):
            raise UsageError("answer() takes a list of rows, not one", fix="Write answer([row])")
        return self.predict([self._row(row) for row in rows], probabilities)

    def predict(self, rows: Sequence[Row | RowError], probabilities: bool = True) -> list[Prediction]:
        """As `answer`, for rows that a reader gave, in which a `RowError` stands for one it cannot read."""
        found: dict[int, Prediction] = {}
        asked: dict[int, Example] = {}
        for place, row in enumerate(rows):
            try:
                if isinstance(row, RowError):
                    raise row
                asked[place] = self.asker.example(row, place + 1)
            except RowError as error:
                found[place] = Prediction("", error=f"the row {error}")
        answers = self._answers(list(asked.values()), probabilities and self.scores)
        for place, answer in zip(asked, answers, strict=True):
            found[place] = self._prediction(answer)
        return [found[place] for place in range(len(rows))]

    def _row(self, row: object) -> Row:
        if isinstance(row, str):
            return self.asker.row_of(row)
        if isinstance(row, Mapping):
            return {str(name): value for name, value in row.items()}
        raise UsageError(
            f"a row is {show(row)}, a {type(row).__name__}", fix="Give texts, or dicts of columns"
        )

    def _answers(self, examples: Sequence[Example], scored: bool) -> list[_Answered | DataError]:
        """An answer to each example, with the probabilities of labels if `scored`, or why there is none."""

        def alone(some: Sequence[Example]) -> list[_Answered]:
            return [_Answered(one) for one in self.responder.answer(some)]

        def both(some: Sequence[Example]) -> list[_Answered]:
            answers, scores = self.responder.answer_and_score(some, self.task.labels)
            assert scores is not None
            return list(map(_Answered, answers, self._probabilities(scores)))

        if not scored:
            return _one_by_one(examples, alone)
        found = _one_by_one(examples, both)
        # a base may have room for an answer to a long row, but not for every label
        refused = [place for place, one in enumerate(found) if isinstance(one, DataError)]
        again = _one_by_one([examples[place] for place in refused], alone)
        for place, one in zip(refused, again, strict=True):
            found[place] = one
        return found

    def _probabilities(self, scores: Scores) -> list[dict[str, float]]:
        """Label in the file -> probability among the labels, of each row of `scores` (rows, labels), nats."""
        shares = np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))
        order = np.argsort(-shares, axis=1, kind="stable")
        names = [self._in_file(label) for label in self.task.labels]
        return [
            {names[i]: float(row[i]) for i in places}
            for row, places in zip(shares, order.tolist(), strict=True)
        ]

    def _in_file(self, label: str) -> str:
        """A label as it is written in the file that the climb read."""
        return next((name for name, meaning in self.task.meanings.items() if meaning == label), label)

    def _prediction(self, answered: _Answered | DataError) -> Prediction:
        if isinstance(answered, DataError):
            return Prediction("", error="; ".join(part for part in (answered.what, answered.why) if part))
        answer, known = answered.completion, answered.known
        text = answer.text
        if self.task.labels or labels_of(self.task):
            label = KINDS[self.task.kind].parse(self.task, text)
            if label is None:
                return Prediction("", known, f"the answer is none of the labels: {show(text, 200)}")
            text = self._in_file(label) if self.task.labels else renamed(self.task, label, self._in_file)
        cut = f"the answer was cut off after {answer.tokens} tokens" if answer.truncated else ""
        return Prediction(text, known, cut)


def load(run: str | Path, rung: str | None = None) -> Predictor:
    """The rung of the climb in the folder `run` that its verdict recommends, or the one called `rung`.

    Raises `UsageError` where the folder holds no climb or the rung is not there, `ResumeError` where a
    file is damaged, `BaseModelError` where the base it was made on cannot be loaded.
    """
    folder = Path(run)
    if not (folder / "run.json").is_file():
        raise UsageError(
            "this is not a run folder: it holds no run.json",
            where=str(folder),
            fix="Give the folder in which `rung climb` wrote its report",
        )
    info = from_json(RunInfo, read_json(folder / "run.json"), "run.json")
    if "reading" not in info.data:
        raise UsageError(
            "the run does not say how its prompts were built",
            where=str(folder),
            why="It was made by an earlier version of rung",
            fix="Climb again",
        )
    asker = Asker(from_json(Reading, info.data["reading"], "run.json"))
    result = _chosen(folder, rung)
    runner, place = RUNGS[result.rung], folder / "answer" / result.rung
    with foreign(partial(_unusable, place)):
        responder = runner.load(place)
    return Predictor(
        run=folder,
        rung=result.rung,
        task=info.task,
        asker=asker,
        responder=responder,
        mark=fingerprint([result.rung, result.fingerprint, result.finished]),
        result=result,
        batch=32 if runner.needs_base else 1000,
    )


def _unusable(place: Path, text: str) -> ResumeError:
    return ResumeError(
        f"what the rung left to answer with is damaged: {text}",
        where=str(place),
        fix=f"Delete results/{place.name}.json in the run folder and run the climb's command again",
    )


def _chosen(folder: Path, rung: str | None) -> Result:
    """The result of the rung to use. Raises `UsageError`."""
    files = sorted((folder / "results").glob("*.json"))
    results = {one.rung: one for file in files if (one := from_json(Result, read_json(file), file.name))}
    usable = [
        name
        for name, one in sorted(results.items(), key=lambda pair: pair[1].order)
        if one.status in USABLE and (folder / "answer" / name).is_dir()
    ]
    listed = f"These can answer: {', '.join(usable)}" if usable else "None of its rungs can answer"
    name = rung or _recommended(folder, listed)
    if name in usable:
        return results[name]
    if name in results:
        raise UsageError(
            f"the rung {name!r} cannot answer: it {_status(results[name])}", where=str(folder), fix=listed
        )
    raise UsageError(f"the run has no rung {name!r}.{nearest(name, usable)}", where=str(folder), fix=listed)


def _recommended(folder: Path, listed: str) -> str:
    path = folder / "verdict.json"
    if not path.is_file():
        raise UsageError(
            "the climb has no verdict yet",
            where=str(folder),
            fix=f"Run its command again until it is done, or name a rung. {listed}",
        )
    name = from_json(Verdict, read_json(path), path.name).recommended
    if name is None:
        raise UsageError(
            "the verdict recommends no rung", where=str(folder), fix=f"Name one all the same. {listed}"
        )
    return name


def _status(result: Result) -> str:
    why = f" ({result.reason})" if result.reason else ""
    return {"failed": "failed", "skipped": "was skipped"}.get(result.status, "left nothing to use") + why


def _one_by_one(
    examples: Sequence[Example], ask: Callable[[Sequence[Example]], Sequence[T]]
) -> list[T | DataError]:
    """What `ask` says of each example; where it refuses some, the `DataError` in their place.

    Halves are asked again until the refused ones stand alone.
    """
    if not examples:
        return []
    try:
        return list(ask(examples))
    except DataError as error:
        if len(examples) == 1:
            return [error]
    middle = len(examples) // 2
    return [*_one_by_one(examples[:middle], ask), *_one_by_one(examples[middle:], ask)]
