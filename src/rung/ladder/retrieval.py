"""Train rows that are shown as examples where they are like the row that is asked about.

Similarity is that of TF-IDF over words and characters (`rung.ladder.classical.nearest`), or of the base's
hidden states (`rung.ladder.states_index`). The pool holds rows of train alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rung.evaluation.prompts import distinct, spelled
from rung.evaluation.run import Speaker, Watch
from rung.ladder.classical import fitted
from rung.ladder.classical.nearest import Index
from rung.ladder.features import Features
from rung.ladder.states_index import StatesIndex
from rung.records import Example, Task, from_json, to_json

_NAME = "examples"  # in the file that says what the folder holds


@dataclass(frozen=True)
class Pool:
    """Rows that can be shown, no two with the same prompt, and the index that finds similar ones."""

    rows: tuple[Example, ...]
    index: Index | StatesIndex

    @classmethod
    def of(cls, train: Sequence[Example]) -> Pool:
        """The pool of the train rows with an answer; of rows with the same prompt the first. Needs one."""
        rows = tuple(distinct(train))
        return cls(rows, Index.of(rows))

    @classmethod
    def by_states(cls, train: Sequence[Example], features: Features, watch: Watch | None = None) -> Pool:
        """The same by hidden states; the base reads the rows that `features` does not keep yet."""
        rows = tuple(distinct(train))
        return cls(rows, StatesIndex.of(features, rows, watch))

    def like(self, examples: Sequence[Example], k: int) -> list[tuple[Example, ...]]:
        """The `k` most similar rows for each example, the most similar one last.

        A row with the example's own prompt is not among them. Fewer where the pool has fewer.
        """
        places, _ = self.index.similar(examples, k + 1)  # at most one of these has the same prompt
        found = []
        for example, near in zip(examples, places.tolist(), strict=True):
            own = spelled(example)
            rows = [row for row in (self.rows[place] for place in near) if spelled(row) != own]
            found.append(tuple(reversed(rows[:k])))
        return found

    def save(self, folder: Path) -> None:
        """Write the rows as JSON, the index as JSON and safetensors."""
        rows = [to_json(row) for row in self.rows]
        fitted.save(folder, _NAME, {**self.index.as_json(), "rows": rows}, self.index.arrays())


def load(folder: Path, speaker: Speaker, task: Task) -> Pool:
    """What `Pool.save` wrote; `speaker` and `task` are those it was made for.

    Raises `ResumeError` where a file is missing or was changed.
    """
    settings, arrays = fitted.load(folder, _NAME, rows=list)
    rows = tuple(from_json(Example, row, folder.name) for row in settings["rows"])
    by_states = "reading" in settings
    index = StatesIndex.read(settings, arrays, speaker, task) if by_states else Index.read(settings, arrays)
    fitted.require_fit(len(rows) == index.rows.shape[0] > 0)
    return Pool(rows, index)
