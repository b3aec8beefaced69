"""How much two texts share: ROUGE-L, chrF and BLEU, from counts that can be added up over rows.

sacrebleu counts the n-grams; its two formulas are repeated here for arrays, because a bootstrap needs them
for thousands of totals at once.  The tests hold both to sacrebleu's own scores.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CHRF_COLUMNS = 18  # hypothesis, reference and common n-grams, for 1 to 6 characters
BLEU_COLUMNS = 10  # the two lengths, then common and hypothesis n-grams for 1 to 4 words
_BETA = 2.0


@lru_cache(maxsize=1)
def _chrf() -> Any:
    from sacrebleu.metrics.chrf import CHRF  # takes a while to import, and few tasks need it

    return CHRF()


@lru_cache(maxsize=1)
def _bleu() -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(force=True)


def chrf_rows(texts: Sequence[str], references: Sequence[str]) -> Floats:
    """Counts (n, `CHRF_COLUMNS`) of each text against its reference (Popović 2015)."""
    return _rows(_chrf(), texts, references, CHRF_COLUMNS)


def bleu_rows(texts: Sequence[str], references: Sequence[str]) -> Floats:
    """Counts (n, `BLEU_COLUMNS`) of each text against its reference (Papineni et al. 2002)."""
    return _rows(_bleu(), texts, references, BLEU_COLUMNS)


def _rows(metric: Any, texts: Sequence[str], references: Sequence[str], columns: int) -> Floats:
    if not texts:
        return np.zeros((0, columns))
    counts = metric._extract_corpus_statistics(list(texts), [list(references)])
    return np.asarray(counts, dtype=np.float64).reshape(len(texts), columns)


def chrf_of(totals: Floats) -> Floats:
    """chrF2 in points from totals (..., 18): F-score of the mean precision and mean recall over the
    orders that occur on both sides."""
    text, reference, common = (totals[..., column::3] for column in range(3))
    used = (text > 0) & (reference > 0)
    orders = np.maximum(used.sum(axis=-1), 1)
    precision = np.where(used, common / np.maximum(text, 1), 0.0).sum(axis=-1) / orders
    recall = np.where(used, common / np.maximum(reference, 1), 0.0).sum(axis=-1) / orders
    below = _BETA**2 * precision + recall
    above = (1 + _BETA**2) * precision * recall
    return np.asarray(100 * np.divide(above, below, out=np.zeros_like(below), where=below > 0))


def bleu_of(totals: Floats) -> Floats:
    """BLEU-4 in points from totals (..., 10), an order without a match smoothed as mteval does: 1/2,
    then 1/4, ... of one match (sacrebleu's ``smooth:exp``)."""
    length, wanted = totals[..., 0], totals[..., 1]
    common, grams = totals[..., 2:6], totals[..., 6:10]
    none = (common == 0) & (grams > 0)
    halved = np.where(none, 0.5 ** np.cumsum(none, axis=-1), common)
    scored = np.logical_and((grams > 0).all(axis=-1), (common > 0).any(axis=-1))
    shares = np.where(np.expand_dims(scored, -1), halved / np.maximum(grams, 1), 1.0)
    ratio = wanted / np.maximum(length, 1)
    brevity = np.where(length < wanted, np.exp(np.minimum(1 - ratio, 0.0)), 1.0)
    return np.asarray(np.where(scored, 100 * brevity * np.exp(np.log(shares).mean(axis=-1)), 0.0))


def signature(name: str) -> str:
    """sacrebleu's signature of "chrf" or "bleu", one reference a row: what makes scores comparable."""
    metric = _chrf() if name == "chrf" else _bleu()
    metric.num_refs = 1
    return str(metric.get_signature())


class _Spaced(dict[int, str]):
    """Code point -> the character, a space for marks, with spaces around those that stand alone."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if unicodedata.category(character)[0] in "PSZC":
            character = " "
        elif stands_alone(character):
            character = f" {character} "
        self[code] = character
        return character


_SPACED = _Spaced()


def words(text: str) -> list[str]:
    """Words without case and punctuation; characters of scripts without spaces stand alone."""
    return unicodedata.normalize("NFC", text).casefold().translate(_SPACED).split()


def stands_alone(character: str) -> bool:
    """Whether a character is of a script without spaces whose characters count as words."""
    return "぀" <= character <= "ヿ" or "㐀" <= character <= "鿿"


def rouge_l(text: str, reference: str) -> float:
    """ROUGE-L: F1 of the longest common subsequence of `words` (Lin 2004, beta 1)."""
    said, wanted = words(text), words(reference)
    common = common_subsequence(said, wanted)
    return 2 * common / (len(said) + len(wanted)) if common else 0.0


def rouge_l_recall(text: str, reference: str) -> float:
    """ROUGE-L recall: the share of the reference's `words` in the longest common subsequence (Lin 2004).

    0 for a reference without words.
    """
    wanted = words(reference)
    return common_subsequence(words(text), wanted) / len(wanted) if wanted else 0.0


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, one machine word at a time (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for place, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << place
    full = (1 << len(first)) - 1
    free = full
    for word in second:
        hit = free & places.get(word, 0)
        free = ((free + hit) | (free - hit)) & full
    return len(first) - free.bit_count()
