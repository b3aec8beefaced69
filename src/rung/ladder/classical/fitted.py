"""What the classical rungs share: the result of a fit, grading of answers to known rows, and their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from rung import storage
from rung.errors import DataError, ResumeError
from rung.evaluation.metrics import METRICS, grade
from rung.records import Choice, Completion, Example, Score, Task

SETTINGS, WEIGHTS = "responder.json", "weights.safetensors"
R = TypeVar("R", covariant=True)
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Fitted(Generic[R]):
    """A responder, and what was chosen on the way to it."""

    responder: R
    choices: tuple[Choice, ...] = ()
    notes: tuple[str, ...] = ()
    parameters: int = 0  # numbers that were fitted


@dataclass(frozen=True, slots=True)
class Graded:
    """Answers to rows with their grades; `weights` (rows,) says how many rows each represents."""

    task: Task
    examples: Sequence[Example]
    scores: Sequence[Score]
    texts: Sequence[str]
    weights: NDArray[np.float64]

    def value(self, name: str) -> float:
        """The metric `name`, with its sign turned where lower is better; -inf over no rows."""
        if not self.examples:
            return -np.inf
        metric = METRICS[name]
        rows = metric.rows(self.task, self.examples, self.scores, self.texts)  # (rows, statistics)
        value = float(metric.value(self.weights @ rows))
        return value if metric.higher_is_better else -value


def graded(
    task: Task, examples: Sequence[Example], texts: Sequence[str], weights: Sequence[float] | None = None
) -> Graded:
    """Grade an answer to each example; rows that the grader cannot judge are left out."""
    counts = np.ones(len(examples)) if weights is None else np.asarray(weights, dtype=np.float64)
    scores = [
        grade(task, one, Completion(one.id, text, 0)) for one, text in zip(examples, texts, strict=True)
    ]
    kept = [i for i, score in enumerate(scores) if score.status != "error"]
    return Graded(
        task, [examples[i] for i in kept], [scores[i] for i in kept], [texts[i] for i in kept], counts[kept]
    )


def save(folder: Path, rung: str, settings: Mapping[str, Any], arrays: Arrays | None = None) -> None:
    """Write `settings` as JSON and `arrays` as safetensors. Raises `ResourceError` where the disk refuses."""
    from safetensors.numpy import save as to_bytes

    files = {SETTINGS: storage.as_json({"rung": rung, **settings})}
    if arrays:
        files[WEIGHTS] = to_bytes({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    storage.write_folder(folder, files)


def load(folder: Path, rung: str, **keys: type) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What `save` wrote; the settings hold values of these types under these `keys`.

    Raises `ResumeError` where a file is missing or was changed, `DataError` where another rung wrote it.
    """
    from safetensors.numpy import load as from_bytes

    storage.verify_folder(folder)
    settings: dict[str, Any] = storage.read_object(folder / SETTINGS, rung=str, **keys)
    if settings["rung"] != rung:
        raise DataError(f"the folder holds the rung {settings['rung']!r}, not {rung!r}", where=folder.name)
    weights = folder / WEIGHTS
    return settings, from_bytes(weights.read_bytes()) if weights.exists() else {}


def require_fit(fine: bool) -> None:
    """Raises `ResumeError` where settings and arrays that were read cannot belong together."""
    if not fine:
        raise ResumeError(f"{SETTINGS} and {WEIGHTS} do not belong together", fix="Climb again")
