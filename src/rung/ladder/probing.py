"""A probe: logistic regression on the frozen base's hidden states.

The base reads every row once. How the row is shown, which layer is read, how its tokens are pooled and C are
chosen by cross-validation on train and dev rows: all ways of reading by ridge regression, which has a closed
form, then C for the best few of them by the regression that will answer.

    W = argmin  sum over rows |y_i - W z_i|^2 + a |W|^2,     z = (h - mean) / deviation         (ridge)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rung.compute import body
from rung.evaluation.run import Speaker
from rung.ladder.classical import fitted, regression
from rung.ladder.classical.fitted import Fitted
from rung.ladder.classical.regression import Floats
from rung.ladder.features import POOLS, SHOWN, Features, Reading, Shown, fresh, tokens_of
from rung.ladder.prepare import Prepared
from rung.ladder.speaking import base_of, speaker_of
from rung.ladder.watch import Watcher
from rung.records import Choice, Example, Task, from_json, to_json

NAME = "probe"
CS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)  # inverse strength of the penalty on squared weights
USUAL = 0.001
LAYERS = 12  # layers that are tried, evenly spread over the upper three quarters
FINALISTS = 6  # ways of reading for which C is tried
RIDGE = 300.0  # the penalty a; standardised columns have a sum of squares of one a row
STEPS = 100  # of the solver, at most
_BATCH = 512  # rows that are answered at once


@dataclass(frozen=True)
class Probe(regression.Classifier):
    """Logistic regression on standardised hidden states; see `Responder`."""

    speaker: Speaker
    task: Task
    reading: Reading
    labels: tuple[str, ...]
    weights: NDArray[np.float32]  # (labels, d), standardisation included
    bias: NDArray[np.float32]  # (labels,)
    about: dict[str, Any]  # the base, as `base_of` writes it down

    def save(self, folder: Path) -> None:
        """Write what is read and the labels as JSON, weights as safetensors."""
        settings = {
            "reading": to_json(self.reading),
            "labels": self.labels,
            "task": to_json(self.task),
            "base": self.about,
        }
        fitted.save(folder, NAME, settings, {"weights": self.weights, "bias": self.bias})

    def judge(self, examples: Sequence[Example], watcher: Watcher | None = None) -> tuple[Floats, list[int]]:
        """See `Classifier`."""
        model = self.weights, self.bias
        found, read = scores(self.speaker, self.task, self.reading, model, examples, watcher)
        return regression.log_softmax(found), read


def scores(
    speaker: Speaker,
    task: Task,
    reading: Reading,
    model: tuple[NDArray[np.float32], NDArray[np.float32]],
    examples: Sequence[Example],
    watcher: Watcher | None = None,
) -> tuple[Floats, list[int]]:
    """What a linear `model`, weights (labels, d) and bias (labels,), gives each example,
    (examples, labels), and the tokens the base read for each.
    """
    weights, bias = model
    found, read = np.zeros((len(examples), len(weights))), list[int]()
    for start in range(0, len(examples), _BATCH):
        some = examples[start : start + _BATCH]
        features, tokens = fresh(speaker, task, some, reading)  # (some, d)
        found[start : start + len(some)] = features @ weights.T + bias
        read += tokens
        if watcher:
            watcher.rows(start + len(some), len(examples))
    return found, read


def load(folder: Path) -> Probe:
    """What `Probe.save` wrote. Raises `ResumeError`, `DataError` or `BaseModelError`."""
    return Probe(**read_saved(folder)[0])


def read_saved(folder: Path, **keys: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of a saved probe, checked, and its settings, which have `keys` too. Raises as `load`."""
    settings, arrays = fitted.load(folder, NAME, base=dict, task=dict, reading=dict, labels=list, **keys)
    speaker = speaker_of(settings["base"])
    width = speaker.base.model.config.get_text_config().hidden_size
    regression.require_fit(settings["labels"], arrays["weights"], arrays["bias"], width)
    fields = {
        "speaker": speaker,
        "task": from_json(Task, settings["task"], fitted.SETTINGS),
        "reading": from_json(Reading, settings["reading"], fitted.SETTINGS),
        "labels": tuple(settings["labels"]),
        "weights": arrays["weights"],
        "bias": arrays["bias"],
        "about": settings["base"],
    }
    return fields, settings


def fit(
    prepared: Prepared, features: Features, known: Sequence[Example], watcher: Watcher, seed: int = 0
) -> Fitted[Probe]:
    """Choose a reading and C by cross-validation on `known`, then fit all of these rows.

    Rows on which choices are made are read in every way, the others only as chosen and no further up than the
    chosen layer.
    """
    task = prepared.task
    labels, truth = regression.labelled(task, known)
    rows = regression.sampled(known, len(labels), seed)
    some = [known[row] for row in rows]
    layers = layers_of(body.depth(prepared.base.model))
    ways = ways_of(prepared)
    for shown in ways:
        watcher.begin(NAME, f"reading the rows: {shown}")
        features.read(some, shown, layers, watcher.rows)
    watcher.begin(NAME, "choosing the layer")
    reading, c, choices, notes = _choose(task, features, some, labels, truth[rows], ways, layers, seed)
    if len(rows) < len(known):
        notes = (*notes, f"layer and C were chosen on {len(rows):,} of {len(known):,} rows")
        watcher.begin(NAME, "reading the other rows")
    matrix, shift, scale = standardised(features.of(known, reading, watcher.rows))
    ((weights, bias),) = regression.fit(matrix, truth, len(labels), [c], STEPS)
    weights = weights / scale  # (labels, d), for states that are not standardised
    bias = bias - weights @ shift
    probe = Probe(prepared.speaker, task, reading, labels, weights, bias, base_of(prepared))
    return Fitted(probe, choices, notes, weights.size + bias.size)


def ways_of(prepared: Prepared) -> list[Shown]:
    """How rows are shown: as they are, and with the instruction if that leaves room for the longest row."""
    first = prepared.split.train[:1]
    plain, asked = (len(tokens_of(prepared.speaker, prepared.task, first, shown)[0].ids) for shown in SHOWN)
    longest = max(row.answer_start for row in prepared.rendered.values())
    return list(SHOWN if longest + asked - plain <= prepared.max_length else SHOWN[:1])


def layers_of(depth: int) -> list[int]:
    """The layers that are tried in a base of `depth` layers."""
    first = max(1, depth // 4)
    return sorted({round(x) for x in np.linspace(first, depth, min(LAYERS, depth))})


def _choose(
    task: Task,
    features: Features,
    examples: Sequence[Example],
    labels: Sequence[str],
    truth: NDArray[np.int_],
    ways: Sequence[Shown],
    layers: Sequence[int],
    seed: int,
) -> tuple[Reading, float, tuple[Choice, ...], tuple[str, ...]]:
    """The reading and C that answer rows left out of the fit best; of equals, the one with less log loss."""
    folds = regression.folds_of(examples, truth, len(labels), seed)
    if not regression.can_choose(labels, folds):
        usual = Reading(ways[-1], layers[3 * len(layers) // 4], "mean")
        return usual, USUAL, (), (f"too few rows to choose layer and C: {usual}, C {USUAL:g}",)

    score = partial(regression.judged, task, examples, labels, truth)
    tried = [Reading(*way) for way in product(ways, layers, POOLS)]
    screened = {
        reading: score(ridge(features.of(examples, reading), np.eye(len(labels))[truth], folds))
        for reading in tried
    }
    finalists = sorted(screened, key=lambda reading: screened[reading], reverse=True)[:FINALISTS]
    found: dict[tuple[Reading, float], tuple[float, float]] = {}
    for reading in finalists:
        matrix = standardised(features.of(examples, reading))[0]
        logs = regression.left_out(matrix, truth, len(labels), folds, CS, STEPS)
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


def ridge(matrix: NDArray[np.float32], y: Floats, folds: NDArray[np.int_]) -> Floats:
    """Scores (rows, labels), each row's from a ridge regression on 0/1 targets that was fitted without it.

    `y` (rows, labels) are the targets.

    Solved in the smaller of the two spaces: W = (Z'Z + a)^-1 Z'Y = Z'(ZZ' + a)^-1 Y.
    """
    z = standardised(matrix)[0]  # (n, d)
    few = len(z) < z.shape[1]
    square = (z @ z.T if few else z.T @ z).astype(np.float64)  # (n, n) or (d, d)
    found = np.zeros_like(y)
    for fold in sorted(set(folds.tolist())):
        out = folds == fold
        centre = y[~out].mean(0)
        if few:
            inner = square[np.ix_(~out, ~out)] + RIDGE * np.eye(int((~out).sum()))
            found[out] = centre + square[np.ix_(out, ~out)] @ np.linalg.solve(inner, y[~out] - centre)
        else:
            inner = square - z[out].T @ z[out] + RIDGE * np.eye(z.shape[1])
            weights = np.linalg.solve(inner, z[~out].T @ (y[~out] - centre))  # (d, labels)
            found[out] = centre + z[out] @ weights
    return found


def standardised(
    matrix: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Columns of `matrix` (n, d) with mean 0 and deviation 1, and the means and deviations (d,) taken off."""
    shift, scale = matrix.mean(0), matrix.std(0)
    scale = np.where(scale > 0, scale, np.float32(1))
    return (matrix - shift) / scale, shift, scale
