"""The answer of the most similar row: what looking things up in the file gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rung.evaluation.tasks import KINDS
from rung.ladder.classical import fitted
from rung.ladder.classical.fitted import Fitted
from rung.ladder.classical.texts import whole_prompt
from rung.ladder.classical.tfidf import CHARACTERS, WORD_PAIRS, Tfidf
from rung.ladder.responder import Responder
from rung.records import Completion, Example, RungKind, Task

if TYPE_CHECKING:
    from rung.ladder.classical.tfidf import Matrix
    from rung.ladder.watch import Watcher

NAME, TITLE = "nearest", "nearest row"
KIND: RungKind = "classical"
_BATCH = 200  # rows that are compared with all known rows at once


def applies(task: Task) -> bool:
    """Whether the rung can be tried on `task`: where an answer is not picked from two of the row's own."""
    return not KINDS[task.kind].pairs


def highest(similarity: NDArray[Any], k: int) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Places and values, both (rows, k), of the `k` highest in each row; equal ones in their own order."""
    if k == 1:
        best = similarity.argmax(1)[:, None]
    else:
        best = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return best, np.take_along_axis(similarity, best, axis=1)


@dataclass(frozen=True)
class Index:
    """Known rows by the words and characters of their prompts."""

    tfidf: Tfidf
    rows: Matrix  # (known rows, terms)

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Index:
        """The index of `examples`; needs at least one."""
        texts = list(map(whole_prompt, examples))
        tfidf = Tfidf.fit(texts, (WORD_PAIRS, CHARACTERS))
        return cls(tfidf, tfidf.transform(texts))

    def similar(self, examples: Sequence[Example], k: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Places of the `k` most similar known rows, most similar first, and their similarity from 0 to 1.

        Both (examples, min(k, known rows)). Equally similar rows come in their own order.
        """
        k = min(k, self.rows.shape[0])
        places, similarity = np.zeros((len(examples), k), np.intp), np.zeros((len(examples), k), np.float32)
        for start in range(0, len(examples), _BATCH):
            here = slice(start, start + _BATCH)
            asked = self.tfidf.transform([whole_prompt(example) for example in examples[here]])
            shared = (asked @ self.rows.T).toarray() / len(self.tfidf.blocks)  # (batch, known rows)
            places[here], similarity[here] = highest(shared, k)
        return places, similarity

    def as_json(self) -> dict[str, Any]:
        """The terms and how texts are read, and the shape of `rows`."""
        return {"tfidf": self.tfidf.as_json(), "shape": self.rows.shape}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The weights of the terms, and `rows` in compressed sparse row form."""
        rows = self.rows
        return {**self.tfidf.arrays(), "values": rows.data, "columns": rows.indices, "ends": rows.indptr}

    @classmethod
    def read(cls, value: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Index:
        """From what `as_json` and `arrays` gave. Raises `ResumeError` where they cannot belong together."""
        from scipy import sparse

        csr = (arrays["values"], arrays["columns"], arrays["ends"])
        fitted.require_fit(int(csr[2][-1]) == csr[1].size == csr[0].size)  # scipy checks no more if it is not
        rows = sparse.csr_array(csr, shape=tuple(value["shape"]))
        rows.check_format(full_check=True)  # scipy's products believe the places of the values
        tfidf = Tfidf.read(value["tfidf"], arrays)
        fitted.require_fit(rows.shape[1] == tfidf.width and bool(np.isfinite(rows.data).all()))
        return cls(tfidf, rows)


@dataclass(frozen=True)
class Nearest(Responder):
    """Answers with the target of the most similar row; the commonest one where no row is similar at all."""

    index: Index
    targets: tuple[str, ...]
    commonest: str

    def answer(self, examples: Sequence[Example], watcher: Watcher | None = None) -> list[Completion]:
        """One answer for each example, in their order."""
        places, similarity = self.index.similar(examples, 1)
        found = zip(examples, places[:, 0].tolist(), similarity[:, 0].tolist(), strict=True)
        return [
            Completion(example.id, self.targets[place] if shared > 0 else self.commonest, tokens=0)
            for example, place, shared in found
        ]

    def save(self, folder: Path) -> None:
        """Write the terms and targets as JSON, the rows as safetensors."""
        settings = {**self.index.as_json(), "targets": self.targets, "commonest": self.commonest}
        fitted.save(folder, NAME, settings, self.index.arrays())


def load(folder: Path) -> Nearest:
    """What `Nearest.save` wrote. Raises `ResumeError` where a file is missing or was changed."""
    settings, arrays = fitted.load(folder, NAME, tfidf=dict, shape=list, targets=list, commonest=str)
    index, targets = Index.read(settings, arrays), tuple(settings["targets"])
    fitted.require_fit(
        len(targets) == index.rows.shape[0] > 0 and all(isinstance(target, str) for target in targets)
    )
    return Nearest(index, targets, settings["commonest"])


def fit(task: Task, train: Sequence[Example], dev: Sequence[Example], seed: int = 0) -> Fitted[Nearest]:
    """Remember the rows of train and dev: nothing is chosen on dev, so its rows are known ones too."""
    known = (*train, *dev)
    targets = tuple(example.target for example in known)
    commonest = Counter(targets).most_common(1)[0][0]
    return Fitted(Nearest(Index.of(known), targets, commonest))
