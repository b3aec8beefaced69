"""A probe where a row has several labels: one logistic regression a label on the frozen base's hidden states.

How rows are read, C and the threshold from which a label is given are chosen by cross-validation on train and
dev rows, as in `rung.ladder.probing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rung import storage
from rung.compute import body
from rung.evaluation.run import Speaker
from rung.ladder import probing
from rung.ladder.classical import fitted, one_vs_rest, regression
from rung.ladder.classical.fitted import Fitted
from rung.ladder.classical.one_vs_rest import Bits, Floats
from rung.ladder.features import POOLS, Features, Reading, Shown
from rung.ladder.prepare import Prepared
from rung.ladder.responder import Responder
from rung.ladder.speaking import base_of
from rung.ladder.watch import Watcher
from rung.records import Choice, Example, Task, to_json


@dataclass(frozen=True)
class SetProbe(one_vs_rest.SetClassifier):
    """Logistic regressions on hidden states; see `SetClassifier`."""

    speaker: Speaker
    task: Task
    reading: Reading
    labels: tuple[str, ...]
    share: float
    weights: NDArray[np.float32]  # (labels, d), standardisation included
    bias: NDArray[np.float32]  # (labels,)
    about: dict[str, Any]  # the base, as `base_of` writes it down

    def save(self, folder: Path) -> None:
        """Write what is read, labels and threshold as JSON, weights as safetensors."""
        settings = {
            "reading": to_json(self.reading),
            "labels": self.labels,
            "share": self.share,
            "task": to_json(self.task),
            "base": self.about,
        }
        fitted.save(folder, probing.NAME, settings, {"weights": self.weights, "bias": self.bias})

    def judge(self, examples: Sequence[Example], watcher: Watcher | None = None) -> tuple[Floats, list[int]]:
        """See `SetClassifier`."""
        model = self.weights, self.bias
        return probing.scores(self.speaker, self.task, self.reading, model, examples, watcher)


def load(folder: Path) -> Responder:
    """What a probe of either sort saved. Raises `ResumeError`, `DataError` or `BaseModelError`."""
    if "share" not in storage.read_object(folder / fitted.SETTINGS, rung=str):
        return probing.load(folder)
    fields, settings = probing.read_saved(folder, share=float)
    fitted.require_fit(0 < settings["share"] < 1)
    return SetProbe(**fields, share=settings["share"])


def fit(
    prepared: Prepared, features: Features, known: Sequence[Example], watcher: Watcher, seed: int = 0
) -> Fitted[Responder]:
    """As `probing.fit`, which answers where a row has one label."""
    task = prepared.task
    if task.labels:
        return probing.fit(prepared, features, known, watcher, seed)
    labels, truth = one_vs_rest.several(task, known)
    rows = regression.sampled(known, len(labels), seed)
    some = [known[row] for row in rows]
    layers, ways = probing.layers_of(body.depth(prepared.base.model)), probing.ways_of(prepared)
    for shown in ways:
        watcher.begin(probing.NAME, f"reading the rows: {shown}")
        features.read(some, shown, layers, watcher.rows)
    watcher.begin(probing.NAME, "choosing the layer")
    chosen = _choose(task, features, some, labels, truth[rows], ways, layers, seed)
    matrix, shift, scale = probing.standardised(features.of(known, chosen.reading, watcher.rows))
    weights, bias = next(one_vs_rest.fit(matrix, truth, [chosen.c], probing.STEPS))
    weights = weights / scale  # (labels, d), for states that are not standardised
    bias = bias - weights @ shift
    about = base_of(prepared)
    probe = SetProbe(prepared.speaker, task, chosen.reading, labels, chosen.share, weights, bias, about)
    return Fitted(probe, chosen.choices, chosen.notes, weights.size + bias.size)


@dataclass(frozen=True, slots=True)
class _Chosen:
    reading: Reading
    c: float
    share: float
    choices: tuple[Choice, ...] = ()
    notes: tuple[str, ...] = ()


def _choose(
    task: Task,
    features: Features,
    examples: Sequence[Example],
    labels: Sequence[str],
    truth: Bits,
    ways: Sequence[Shown],
    layers: Sequence[int],
    seed: int,
) -> _Chosen:
    """The reading by ridge regression, then C, each with its best threshold, on rows left out of the fit."""
    folds = one_vs_rest.folds_of(examples, truth, seed)
    if not regression.can_choose(labels, folds):
        usual = Reading(ways[-1], layers[3 * len(layers) // 4], "mean")
        note = f"too few rows to choose layer and C: {usual}, C {probing.USUAL:g}"
        return _Chosen(usual, probing.USUAL, one_vs_rest.USUAL, notes=(note,))

    def score(odds: Floats) -> tuple[float, float]:
        share, value = one_vs_rest.best_share(task, examples, labels, odds)
        return value, share

    screened: dict[Reading, float] = {}
    for way in product(ways, layers, POOLS):
        found = probing.ridge(features.of(examples, Reading(*way)), truth.astype(np.float64), folds)
        screened[Reading(*way)] = score(_odds(found))[0]
    finalists = sorted(screened, key=lambda one: screened[one], reverse=True)[: probing.FINALISTS // 2]
    tried: dict[tuple[Reading, float], tuple[float, float]] = {}
    for reading in finalists:
        matrix = probing.standardised(features.of(examples, reading))[0]
        logs = one_vs_rest.left_out(matrix, truth, folds, probing.CS, probing.STEPS)
        tried |= {(reading, c): score(one) for c, one in zip(probing.CS, logs, strict=True)}
    reading, c = max(tried, key=lambda one: tried[one][0])
    value, share = tried[reading, c]
    choices = (
        Choice("reading", str(reading), {str(one): screened[one] for one in finalists}),
        Choice("C", f"{c:g}", {f"{one:g}": tried[reading, one][0] for one in probing.CS}),
        Choice("threshold", f"{share:g}", {f"{share:g}": value}),
    )
    return _Chosen(reading, c, share, choices)


def _odds(shares: Floats) -> Floats:
    """Log-odds of what a ridge regression takes for probabilities."""
    inside = np.clip(shares, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(inside / (1 - inside)))
