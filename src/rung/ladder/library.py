"""The passages of a climb, and which of them are like a row: BM25 over their words.

The library saves `bm25s`' scores of Robertson et al. (1994) in the form of Lucene. Words are counted without
case; the parts of a name in code (``silero_stt``, ``HybridNets``) count too. No torch.
"""

from __future__ import annotations

import os
import random
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rung import storage
from rung.data.passages import Documents, mark_of, shown
from rung.errors import ResumeError
from rung.evaluation.supports import first, is_measured
from rung.records import Example, Passage, Task, from_json, to_json

FILE = "documents.jsonl"  # in the run folder
_WORD = re.compile(r"[^\W_]+(?:_[^\W_]+)*")
_BORDER = re.compile(r"_|(?<=[a-z])(?=[A-Z])|(?<=[^\W\d])(?=\d)|(?<=\d)(?=[^\W\d])")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def words_of(text: str) -> list[str]:
    """The words by which texts are compared: names in code also in parts, Chinese and Japanese in pairs."""
    found: list[str] = []
    for word in _WORD.findall(unicodedata.normalize("NFKC", text)):
        if _CJK.search(word):
            found += [word[i : i + 2] for i in range(max(1, len(word) - 1))]
            continue
        found.append(word.casefold())
        parts = _BORDER.split(word)
        if len(parts) > 1:
            found += [part.casefold() for part in parts if len(part) > 1 or part.isdigit()]
    return found


def question_of(example: Example) -> str:
    """What is looked up: the user's turns, a new line between them."""
    return "\n".join(message.content for message in example.prompt if message.role == "user")


@dataclass(frozen=True)
class Library:
    """Passages, and the file that holds them for answers that are given later."""

    passages: tuple[Passage, ...]
    file: Path

    @classmethod
    def of(cls, documents: Documents, folder: Path) -> Library:
        """The library of a climb whose run folder is `folder`."""
        return cls(documents.passages, folder / FILE)

    @cached_property
    def mark(self) -> str:
        """16 hex digits that stand for the passages."""
        return mark_of(self.passages)

    @cached_property
    def _index(self) -> Any:
        import bm25s

        index = bm25s.BM25()
        words = [words_of(f"{one.title}\n{one.text}") or [""] for one in self.passages]
        index.index(words, show_progress=False)
        return index

    def like(self, examples: Sequence[Example], k: int) -> list[tuple[Passage, ...]]:
        """The `k` passages most like each example, the most similar one first.

        Fewer where there are fewer that share a word with it; of equals the first in the documents.
        """
        most = min(k, len(self.passages))
        if not examples or most < 1:
            return [() for _ in examples]
        known = self._index.vocab_dict
        found: list[tuple[Passage, ...]] = []
        for example in examples:
            words = [word for word in words_of(question_of(example)) if word in known]
            if not words:
                found.append(())
                continue
            scores = self._index.get_scores(words)
            near = np.argpartition(-scores, most - 1)[:most] if most < len(scores) else np.arange(len(scores))
            # all that are as good as the last of them, so that the order of the documents decides
            near = np.flatnonzero(scores >= max(scores[near].min(), np.finfo(scores.dtype).tiny))
            order = near[np.argsort(-scores[near], kind="stable")][:most]
            found.append(tuple(self.passages[place] for place in order.tolist()))
        return found

    def wrong(self, example: Example, k: int, seed: int) -> tuple[Passage, ...]:
        """`k` passages drawn at random, none of them like `example`; fewer where there are fewer."""
        near = {one.id for one in self.like([example], 2 * k)[0]}
        draw = random.Random(f"wrong {seed} {example.id}")
        places = draw.sample(range(len(self.passages)), min(len(self.passages), 4 * k))
        return tuple(one for place in places if (one := self.passages[place]).id not in near)[:k]

    def recall(self, task: Task, examples: Sequence[Example], numbers: Sequence[int]) -> dict[int, float]:
        """k -> share of `examples` with what the right answer needs in one of the `k` passages.

        Empty for a task whose answers are not looked up (`rung.evaluation.supports`).
        """
        if not is_measured(task) or not examples or not numbers:
            return {}
        near = self.like(examples, max(numbers))
        ranks = [
            first(task, example, list(map(shown, passages)))
            for example, passages in zip(examples, near, strict=True)
        ]
        found = [rank for rank in ranks if rank is not None]
        return {k: sum(rank < k for rank in found) / len(examples) for k in numbers}

    def save(self) -> None:
        """Write the passages to `file`."""
        storage.write_jsonl(self.file, [to_json(one) for one in self.passages])

    def reference(self, folder: Path) -> dict[str, str]:
        """Where an answer saved in `folder` finds the passages, as JSON: no full path."""
        return {"file": Path(os.path.relpath(self.file, folder)).as_posix(), "mark": self.mark}


def read(path: Path) -> Library | None:
    """What `Library.save` wrote to `path`; None where there is no file. Raises `ResumeError`."""
    if not path.is_file():
        return None
    return Library(tuple(from_json(Passage, row, path.name) for row in storage.read_jsonl(path)), path)


def of_reference(folder: Path, reference: Mapping[str, Any]) -> Library:
    """The library of an answer in `folder`, from `Library.reference`.

    Raises `ResumeError` where the passages are gone or are others.
    """
    path = (folder / str(reference.get("file", FILE))).resolve()
    library = read(path)
    if library is None or library.mark != reference.get("mark"):
        raise ResumeError(
            f"{path.name} is {'missing' if library is None else 'not the one that was used'}",
            where=folder.name,
            why="The answer retrieves its passages from it",
            fix="Copy the whole run folder, or climb again",
        )
    return library
