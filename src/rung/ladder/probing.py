"""A probe: logistic regression on the frozen base's hidden states.

The base reads every row once. How the row is shown, which layer is read, how its tokens are pooled and C are
chosen by cross-validation on train and dev rows: all ways of reading by ridge regression, which has a closed
form, then C for the best few of them by the regression that will answer.

    W = argmin  sum over rows |y_i - W z_i|^2 + a |W|^2,     z = (h - mean) / deviation         (ridge)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from rung import storage
from rung.bases import body
from rung.bases.tree import common_length
from rung.evaluation.prompts import zero_shot
from rung.evaluation.run import Prompt, Speaker
from rung.generate import states
from rung.generate.cache import Ids
from rung.ladder.classical import fitted, regression
from rung.ladder.classical.fitted import Fitted, graded
from rung.ladder.classical.regression import Floats
from rung.ladder.prepare import Prepared
from rung.ladder.speaking import base_of, speaker_of
from rung.ladder.watch import Watcher
from rung.records import Choice, Completion, Example, Task, from_json, to_json

NAME = "probe"
CS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)  # inverse strength of the penalty on squared weights
USUAL = 0.001
LAYERS = 12  # layers that are tried, evenly spread over the upper three quarters
FINALISTS = 6  # ways of reading for which C is tried
RIDGE = 300.0  # the penalty a; standardised columns have a sum of squares of one a row
STEPS = 100  # of the solver, at most
_BATCH = 512  # rows that are read and answered at once

Pool = Literal["mean", "last"]
POOLS: tuple[Pool, ...] = ("mean", "last")
SHOWN = {"the row as it is": False, "with instruction": True}


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a row's features come from."""

    shown: str  # a key of `SHOWN`
    before: int  # tokens that all rows begin with; they are not pooled
    after: int  # tokens that all rows end with
    layer: int = 0  # counted from 1
    pool: Pool = "mean"

    def prompt(self, task: Task, example: Example) -> Prompt:
        return zero_shot(task, example) if SHOWN[self.shown] else example.prompt

    def own(self, ids: Ids) -> tuple[int, int]:
        """From and to: the tokens that are the row's own, at least one."""
        start = min(self.before, len(ids) - 1)
        return start, max(start + 1, len(ids) - self.after)

    def __str__(self) -> str:
        pooled = "mean over the row" if self.pool == "mean" else "last token"
        return f"layer {self.layer}, {pooled}, {self.shown}"


@dataclass(frozen=True)
class Probe:
    """Logistic regression on standardised hidden states; see `Responder`."""

    speaker: Speaker
    task: Task
    reading: Reading
    labels: tuple[str, ...]
    weights: NDArray[np.float32]  # (labels, d), standardisation included
    bias: NDArray[np.float32]  # (labels,)
    about: dict[str, Any]  # the base, as `base_of` writes it down

    def answer(self, examples: Sequence[Example], watcher: Watcher | None = None) -> list[Completion]:
        """The most probable label for each example, in their order."""
        best = self._log_probabilities(examples, watcher).argmax(axis=1)
        return [
            Completion(example.id, self.labels[place], tokens=0)
            for example, place in zip(examples, best.tolist(), strict=True)
        ]

    def score(self, examples: Sequence[Example], choices: Sequence[str]) -> Floats:
        """Log-probability of each choice, (examples, choices); see `regression.of_choices`."""
        return regression.of_choices(self._log_probabilities(examples), self.labels, choices)

    def save(self, folder: Path) -> None:
        """Write what is read and the labels as JSON, weights as safetensors."""
        settings = {
            "reading": to_json(self.reading),
            "labels": self.labels,
            "task": to_json(self.task),
            "base": self.about,
        }
        fitted.save(folder, NAME, settings, {"weights": self.weights, "bias": self.bias})

    def _log_probabilities(self, examples: Sequence[Example], watcher: Watcher | None = None) -> Floats:
        """(examples, labels)"""
        found = np.zeros((len(examples), len(self.labels)))
        for start in range(0, len(examples), _BATCH):
            some = examples[start : start + _BATCH]
            found[start : start + _BATCH] = regression.log_softmax(
                features(self.speaker, self.task, self.reading, some) @ self.weights.T + self.bias
            )
            if watcher:
                watcher.rows(start + len(some), len(examples))
        return found


def load(folder: Path) -> Probe:
    """What `Probe.save` wrote. Raises `ResumeError`, `DataError` or `BaseModelError`."""
    settings, arrays = fitted.load(folder, NAME)
    return Probe(
        speaker=speaker_of(settings["base"]),
        task=from_json(Task, settings["task"], fitted.SETTINGS),
        reading=from_json(Reading, settings["reading"], fitted.SETTINGS),
        labels=tuple(settings["labels"]),
        weights=arrays["weights"],
        bias=arrays["bias"],
        about=settings["base"],
    )


def features(
    speaker: Speaker, task: Task, reading: Reading, examples: Sequence[Example]
) -> NDArray[np.float32]:
    """Pooled hidden states (examples, d), as `reading` says."""
    ids = speaker.renderer.prompts(examples, [reading.prompt(task, one) for one in examples])
    found = states.read(speaker.base, ids, [reading.own(row) for row in ids], [reading.layer])
    return _numpy(getattr(found, reading.pool)[:, 0])


def fit(
    prepared: Prepared, known: Sequence[Example], cache: Path, watcher: Watcher, seed: int = 0
) -> Fitted[Probe]:
    """Choose a reading and C by cross-validation on `known`, then fit all of these rows.

    Features of the rows on which choices are made are kept in the folder `cache`.
    """
    task = prepared.task
    named = [regression.label_of(task, example) for example in known]
    labels = tuple(sorted(set(named)))
    truth = np.array([labels.index(label) for label in named])
    rows = regression.sampled(known, len(labels), seed)
    some = [known[row] for row in rows]
    tried = list(_tried(prepared, some, cache, watcher))
    watcher.begin(NAME, "choosing the layer")
    reading, c, choices, notes = _choose(task, some, labels, truth[rows], tried, seed)
    if len(rows) < len(known):
        notes = (*notes, f"layer and C were chosen on {len(rows):,} of {len(known):,} rows")
    rest = [row for row in range(len(known)) if row not in set(rows.tolist())]
    matrix = np.empty((len(known), tried[0][1].shape[1]), dtype=np.float32)  # (rows, d)
    matrix[rows] = dict(tried)[reading]
    if rest:
        watcher.begin(NAME, "reading the other rows")
    for start in range(0, len(rest), _BATCH):
        part = rest[start : start + _BATCH]
        matrix[part] = features(prepared.speaker, task, reading, [known[row] for row in part])
        watcher.rows(start + len(part), len(rest))
    matrix, shift, scale = _standardised(matrix)
    ((weights, bias),) = regression.fit(matrix, truth, len(labels), [c], STEPS)
    weights = weights / scale  # (labels, d), for states that are not standardised
    bias = bias - weights @ shift
    probe = Probe(prepared.speaker, task, reading, labels, weights, bias, base_of(prepared))
    return Fitted(probe, choices, notes, weights.size + bias.size)


def layers_of(depth: int) -> list[int]:
    """The layers that are tried in a base of `depth` layers."""
    first = max(1, depth // 4)
    return sorted({round(x) for x in np.linspace(first, depth, min(LAYERS, depth))})


def _tried(
    prepared: Prepared, examples: Sequence[Example], cache: Path, watcher: Watcher
) -> Iterator[tuple[Reading, NDArray[np.float32]]]:
    """Every reading, with its features (examples, d)."""
    layers = layers_of(body.depth(prepared.base.model))
    for shown in SHOWN:
        reading = Reading(shown, 0, 0)
        prompts = [reading.prompt(prepared.task, one) for one in examples]
        ids = prepared.speaker.renderer.prompts(examples, prompts)
        before, after = common_length(ids), common_length([row[::-1] for row in ids])
        reading = Reading(shown, before, after)
        watcher.begin(NAME, f"reading the rows, {shown}")
        found = _kept(prepared, ids, [reading.own(row) for row in ids], layers, cache, watcher)
        for place, layer in enumerate(layers):
            for pool in POOLS:
                yield Reading(shown, before, after, layer, pool), _numpy(getattr(found, pool)[:, place])


def _kept(
    prepared: Prepared,
    ids: Sequence[Ids],
    own: Sequence[tuple[int, int]],
    layers: Sequence[int],
    cache: Path,
    watcher: Watcher,
) -> states.Pooled:
    """Hidden states of rows, kept in a file of `cache` for the next who asks for the same rows and base."""
    from safetensors.torch import load_file, save_file

    base = prepared.base
    mark = storage.fingerprint([base.fingerprint, str(base.dtype), list(layers), list(own), list(ids)])
    path = cache / f"{mark[:16]}.safetensors"
    if path.is_file():
        return states.Pooled(**load_file(path))
    found = states.read(base, ids, own, layers, watcher.rows)
    cache.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".tmp")
    save_file({"mean": found.mean, "last": found.last}, half)
    half.replace(path)
    return found


def _choose(
    task: Task,
    examples: Sequence[Example],
    labels: Sequence[str],
    truth: NDArray[np.int_],
    tried: Sequence[tuple[Reading, NDArray[np.float32]]],
    seed: int,
) -> tuple[Reading, float, tuple[Choice, ...], tuple[str, ...]]:
    """The reading and C that answer rows left out of the fit best; of equals, the one with less log loss."""
    folds = regression.folds_of(examples, truth, len(labels), seed)
    if len(examples) < regression.FEW_ROWS or len(labels) < 2 or len(set(folds.tolist())) < 2:
        usual = tried[2 * (3 * len(tried) // 8)][0]  # mean, three quarters up, as it is
        return usual, USUAL, (), (f"too few rows to choose layer and C: {usual}, C {USUAL:g}",)

    def score(logs: Floats) -> tuple[float, float]:
        picked = [labels[i] for i in logs.argmax(1)]
        fit = float(logs[np.arange(len(truth)), truth].mean())
        return graded(task, examples, picked).value(task.primary), fit

    screened = {reading: score(_ridge(matrix, truth, len(labels), folds)) for reading, matrix in tried}
    finalists = sorted(screened, key=lambda reading: screened[reading], reverse=True)[:FINALISTS]
    found: dict[tuple[Reading, float], tuple[float, float]] = {}
    for reading, matrix in tried:
        if reading in finalists:
            logs = regression.left_out(_standardised(matrix)[0], truth, len(labels), folds, CS, STEPS)
            found |= {(reading, c): score(one) for c, one in zip(CS, logs, strict=True)}
    reading, c = max(found, key=found.__getitem__)
    return (
        reading,
        c,
        (
            Choice("reading", str(reading), {str(one): screened[one][0] for one in finalists}),
            Choice("C", f"{c:g}", {f"{one:g}": found[reading, one][0] for one in CS}),
        ),
        (),
    )


def _ridge(
    matrix: NDArray[np.float32], truth: NDArray[np.int_], labels: int, folds: NDArray[np.int_]
) -> Floats:
    """Scores (rows, labels), each row's from a ridge regression on 0/1 targets that was fitted without it."""
    z = _standardised(matrix)[0].astype(np.float64)  # (n, d)
    y = np.eye(labels)[truth]  # (n, labels)
    found = np.zeros_like(y)
    for fold in sorted(set(folds.tolist())):
        out = folds == fold
        centre = y[~out].mean(0)
        square = z[~out].T @ z[~out] + RIDGE * np.eye(z.shape[1])  # (d, d)
        weights = np.linalg.solve(square, z[~out].T @ (y[~out] - centre))  # (d, labels)
        found[out] = centre + z[out] @ weights
    return found


def _standardised(
    matrix: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Columns of `matrix` (n, d) with mean 0 and deviation 1, and the means and deviations (d,) taken off."""
    shift, scale = matrix.mean(0), matrix.std(0)
    scale = np.where(scale > 0, scale, np.float32(1))
    return (matrix - shift) / scale, shift, scale


def _numpy(tensor: torch.Tensor) -> NDArray[np.float32]:
    return np.asarray(tensor.float().numpy())
