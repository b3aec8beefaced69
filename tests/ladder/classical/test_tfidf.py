"""TF-IDF in blocks of n-grams, and what is kept of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rung.ladder.classical.tfidf import CHARACTERS, WORD_PAIRS, WORDS, Tfidf, joined

TEXTS = ["a red car", "A RED bike!", "la voiture rouge", "赤い車", "🙂🙂", ""]
ALL = (WORDS, WORD_PAIRS, CHARACTERS)


def test_each_block_has_rows_of_length_one_or_none() -> None:
    parts = Tfidf.fit(TEXTS, ALL).parts(TEXTS)
    assert list(parts) == list(ALL)
    for part in parts.values():
        lengths = np.sqrt(part.multiply(part).sum(axis=1))
        assert lengths[:-1] == pytest.approx(1, abs=1e-5)
        assert lengths[-1] == 0


def test_case_does_not_count_and_unknown_words_are_nothing() -> None:
    tfidf = Tfidf.fit(["a red car", "blue bike"], [WORDS])
    upper, lower, unknown = tfidf.transform(["RED CAR", "red car", "green"]).toarray()
    assert upper.tolist() == lower.tolist()
    assert not unknown.any()


def test_read_back_it_gives_the_same_numbers() -> None:
    tfidf = Tfidf.fit(TEXTS, ALL).only([WORD_PAIRS, CHARACTERS])
    back = Tfidf.read(json.loads(json.dumps(tfidf.as_json())), tfidf.arrays())
    new = [*TEXTS, "another red 車"]
    assert np.array_equal(back.transform(new).toarray(), tfidf.transform(new).toarray())


@pytest.mark.parametrize("texts", [["", ""], [" \n", "\t"], [""]])
def test_texts_without_a_word(texts: list[str]) -> None:
    assert Tfidf.fit(texts, ALL).transform([*texts, "word"]).nnz == 0


def test_the_commonest_terms_are_kept() -> None:
    tfidf = Tfidf.fit(["b a", "c a d", "d b a b"], [WORDS], most_terms=2)
    assert set(tfidf.as_json()["blocks"][WORDS]) == {"a", "b"}


def test_of_a_long_text_both_ends_are_read() -> None:
    tfidf = Tfidf.fit(["start " + "x " * 20_000 + "end", "other"], [WORDS])
    assert {"start", "end"} <= set(tfidf.as_json()["blocks"][WORDS])
    assert tfidf.transform(["start", "end"]).nnz == 2


def test_blocks_stand_next_to_each_other() -> None:
    tfidf = Tfidf.fit(TEXTS, ALL)
    parts = tfidf.parts(TEXTS)
    assert joined(parts.values()).shape == (len(TEXTS), sum(part.shape[1] for part in parts.values()))
