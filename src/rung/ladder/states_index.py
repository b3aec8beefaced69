"""Rows by their hidden states in the frozen base: similar are rows that mean the same, whatever their words.

similarity(a, b) = cosine of z_a and z_b,     z = h - mean of h over the known rows
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rung.compute import body
from rung.evaluation.run import Speaker, Watch
from rung.ladder.classical import fitted
from rung.ladder.classical.nearest import highest
from rung.ladder.features import Features, Reading, fresh
from rung.ladder.probing import layers_of
from rung.records import Example, Task, from_json, to_json

_BATCH = 512  # rows that are compared with all known rows at once


@dataclass(frozen=True)
class StatesIndex:
    """Known rows by their hidden states; see `rung.ladder.classical.nearest.Index`."""

    speaker: Speaker  # with the base's chat template
    task: Task
    reading: Reading
    centre: NDArray[np.float32]  # (d,)
    rows: NDArray[np.float32]  # (known rows, d), each of length 1

    @classmethod
    def of(cls, features: Features, examples: Sequence[Example], watch: Watch | None = None) -> StatesIndex:
        """The index of `examples`; needs at least one. Raises `DataError` for a row that is too long."""
        reading = reading_of(body.depth(features.speaker.base.model))
        states = features.of(examples, reading, watch)
        centre = states.mean(0)
        return cls(features.speaker, features.task, reading, centre, _unit(states - centre))

    def similar(self, examples: Sequence[Example], k: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Places of the `k` most similar known rows, most similar first, and their similarity from -1 to 1.

        Both (examples, min(k, known rows)). Equally similar rows come in their own order.
        """
        k = min(k, len(self.rows))
        places, similarity = np.zeros((len(examples), k), np.intp), np.zeros((len(examples), k), np.float32)
        for start in range(0, len(examples), _BATCH):
            here = slice(start, start + _BATCH)
            states, _ = fresh(self.speaker, self.task, examples[here], self.reading)  # (batch, d)
            shared = _unit(states - self.centre) @ self.rows.T  # (batch, known rows)
            places[here], similarity[here] = highest(shared, k)
        return places, similarity

    def as_json(self) -> dict[str, Any]:
        """What is read of a row."""
        return {"reading": to_json(self.reading)}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The centre and the known rows."""
        return {"centre": self.centre, "rows": self.rows}

    @classmethod
    def read(
        cls, value: dict[str, Any], arrays: dict[str, NDArray[Any]], speaker: Speaker, task: Task
    ) -> StatesIndex:
        """From what `as_json` and `arrays` gave. Raises `ResumeError` where they cannot belong together."""
        reading = from_json(Reading, value["reading"], "the examples")
        centre, rows = arrays["centre"], arrays["rows"]
        width = speaker.base.model.config.get_text_config().hidden_size
        fine = centre.shape == (width,) and rows.ndim == 2 and rows.shape[1] == width
        fitted.require_fit(fine and bool(np.isfinite(centre).all() and np.isfinite(rows).all()))
        return cls(speaker, task, reading, centre, rows)


def reading_of(depth: int) -> Reading:
    """What is read in a base of `depth` layers: one of the layers that a probe reads, too."""
    layers = layers_of(depth)
    return Reading("the row as it is", layers[3 * len(layers) // 4], "mean")


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """`rows` (n, d) divided by their lengths."""
    found: NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return found
