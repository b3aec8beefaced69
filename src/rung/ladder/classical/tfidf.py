"""Texts as rows of numbers: TF-IDF over words and over characters, kept as JSON and arrays.

scikit-learn counts the n-grams.  Each kind of n-gram is a block of columns in which every row has length 1,
or 0 where the row has none of them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rung.evaluation.frame import Frame
from rung.ladder.classical.fitted import require_fit

if TYPE_CHECKING:
    from scipy import sparse

    Matrix = sparse.csr_array[np.float32, tuple[int, int]]

WORDS, WORD_PAIRS, CHARACTERS = "words", "words 1-2", "characters 2-5"
_KINDS: dict[str, tuple[str, tuple[int, int]]] = {  # analyzer of scikit-learn, sizes of the n-grams
    WORDS: ("word", (1, 1)),
    WORD_PAIRS: ("word", (1, 2)),
    CHARACTERS: ("char_wb", (2, 5)),
}
_TOKEN = r"\w+|[^\w\s]"
_MOST_TERMS = 50_000  # columns of a block: its most frequent n-grams
_ALL_CHARACTERS = 8_000_000  # read when fitting, so that 20,000 rows take seconds
_FEWEST, _MOST = 400, 20_000  # characters read of one text


@dataclass(frozen=True)
class Tfidf:
    """Fitted blocks of n-grams, by name."""

    blocks: dict[str, Any]  # name -> scikit-learn's TfidfVectorizer
    frame: Frame
    limit: int  # characters read of a text, half of them from its end

    @classmethod
    def fit(cls, texts: Sequence[str], names: Sequence[str], most_terms: int = _MOST_TERMS) -> Tfidf:
        """Learn the n-grams of `texts` and their weights; at most `most_terms` in each block."""
        limit = min(max(_ALL_CHARACTERS // max(len(texts), 1), _FEWEST), _MOST)
        frame = Frame.around(texts)
        shown = [_shown(text, frame, limit) for text in texts]
        return cls({name: _fitted(name, shown, most_terms) for name in names}, frame, limit)

    def only(self, names: Sequence[str]) -> Tfidf:
        """The same with some of the blocks."""
        return Tfidf({name: self.blocks[name] for name in names}, self.frame, self.limit)

    def parts(self, texts: Sequence[str]) -> dict[str, Matrix]:
        """Name of a block -> (texts, terms), rows of length 1 or 0."""
        from scipy import sparse

        shown = [_shown(text, self.frame, self.limit) for text in texts]
        return {name: sparse.csr_array(block.transform(shown)) for name, block in self.blocks.items()}

    def transform(self, texts: Sequence[str]) -> Matrix:
        """All blocks next to each other, (texts, terms of all blocks)."""
        return joined(self.parts(texts).values())

    @property
    def width(self) -> int:
        """Number of terms in all blocks."""
        return sum(len(block.idf_) for block in self.blocks.values())

    def as_json(self) -> dict[str, Any]:
        """Terms in the order of their columns, and how texts are read."""
        terms = {name: _terms(block) for name, block in self.blocks.items()}
        return {"blocks": terms, "before": self.frame.before, "after": self.frame.after, "limit": self.limit}

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The weights of the terms, "idf 0" for the first block and so on, each (terms,)."""
        return {f"idf {i}": block.idf_.astype(np.float32) for i, block in enumerate(self.blocks.values())}

    @classmethod
    def read(cls, value: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Tfidf:
        """From what `as_json` and `arrays` gave. Raises `ResumeError` where they cannot belong together."""
        blocks = {}
        for i, (name, terms) in enumerate(value["blocks"].items()):
            blocks[name] = _vectorizer(name, vocabulary={term: place for place, term in enumerate(terms)})
            blocks[name].idf_ = arrays[f"idf {i}"]
        before, after, limit = value["before"], value["after"], value["limit"]
        require_fit(type(limit) is int and limit >= 0 and isinstance(before, str) and isinstance(after, str))
        require_fit(all(bool(np.isfinite(block.idf_).all()) for block in blocks.values()))
        return cls(blocks, Frame(before, after), limit)


def joined(parts: Iterable[Matrix]) -> Matrix:
    """Blocks (n, k1), (n, k2), ... as one matrix (n, k1 + k2 + ...)."""
    from scipy import sparse

    return sparse.csr_array(sparse.hstack(list(parts), format="csr"))


def _shown(text: str, frame: Frame, limit: int) -> str:
    """What is read of a text: both ends of a long one, in one spelling, without case."""
    inner = frame.inside(text)
    if len(inner) > limit:
        inner = f"{inner[: limit - limit // 2]} {inner[len(inner) - limit // 2 :]}"
    return unicodedata.normalize("NFKC", inner).casefold()


def _vectorizer(name: str, **more: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    analyzer, sizes = _KINDS[name]
    return TfidfVectorizer(
        analyzer=analyzer,
        ngram_range=sizes,
        lowercase=False,
        token_pattern=_TOKEN if analyzer == "word" else None,
        sublinear_tf=True,
        dtype=np.float32,
        **more,
    )


def _fitted(name: str, texts: Sequence[str], most_terms: int) -> Any:
    vectorizer = _vectorizer(name, max_features=most_terms)
    analyze: Callable[[str], list[str]] = vectorizer.build_analyzer()
    # scikit-learn refuses texts that have no term at all; then one term that never occurs is used
    return vectorizer.fit(texts if any(map(analyze, texts)) else ["none"])


def _terms(block: Any) -> list[str]:
    return sorted(block.vocabulary_, key=block.vocabulary_.__getitem__)
