"""Text overlap against sacrebleu, rouge-score and the plain dynamic program."""

from __future__ import annotations

import random

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from rung.evaluation import overlap

WORDS = ["the", "a", "cat", "sat", "on", "mat", "house", ",", ".", "and", "big", "très", "où", "3.5", "don't"]


def pairs(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    rng = random.Random(seed)
    references = [" ".join(rng.choices(WORDS, k=rng.randint(1, 14))) for _ in range(count)]
    texts = [" ".join(w for w in one.split() if rng.random() < 0.8) for one in references]
    return texts, references


@pytest.mark.parametrize("count", [1, 3, 40])
@pytest.mark.parametrize("seed", range(4))
def test_corpus_scores_are_sacrebleus(count: int, seed: int) -> None:
    texts, references = pairs(count, seed)
    chrf = overlap.chrf_of(overlap.chrf_rows(texts, references).sum(axis=0))
    bleu = overlap.bleu_of(overlap.bleu_rows(texts, references).sum(axis=0))
    assert chrf == pytest.approx(CHRF().corpus_score(texts, [references]).score)
    assert bleu == pytest.approx(BLEU(force=True).corpus_score(texts, [references]).score)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("", "a cat"),
        ("a cat", ""),
        ("", ""),
        ("xyz", "abc"),
        ("a cat sat", "the cat sat on a mat"),
        ("猫", "猫"),
    ],
)
def test_single_rows_are_sacrebleus(text: str, reference: str) -> None:
    chrf = overlap.chrf_of(overlap.chrf_rows([text], [reference])[0])
    assert chrf == pytest.approx(CHRF().corpus_score([text], [[reference]]).score)
    bleu = overlap.bleu_of(overlap.bleu_rows([text], [reference])[0])
    assert bleu == pytest.approx(BLEU(force=True).corpus_score([text], [[reference]]).score)


def test_many_totals_at_once_are_the_same_as_one_by_one() -> None:
    texts, references = pairs(12)
    for rows, value in (
        (overlap.chrf_rows(texts, references), overlap.chrf_of),
        (overlap.bleu_rows(texts, references), overlap.bleu_of),
    ):
        np.testing.assert_allclose(value(rows), [float(value(row)) for row in rows])


def test_no_texts() -> None:
    assert overlap.chrf_rows([], []).shape == (0, overlap.CHRF_COLUMNS)
    assert overlap.bleu_rows([], []).shape == (0, overlap.BLEU_COLUMNS)


def test_signature_is_sacrebleus() -> None:
    metric = CHRF()
    metric.corpus_score(["a"], [["a"]])
    assert overlap.signature("chrf") == str(metric.get_signature())
    assert "tok:13a" in overlap.signature("bleu")


def slow_common(first: list[str], second: list[str]) -> int:
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, one in enumerate(first):
        for j, two in enumerate(second):
            same = table[i][j] + 1
            table[i + 1][j + 1] = same if one == two else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


def test_common_subsequence_is_the_plain_ones() -> None:
    rng = random.Random(1)
    for _ in range(200):
        first, second = ([*rng.choices("abcd", k=rng.randint(0, 90))] for _ in range(2))
        assert overlap.common_subsequence(first, second) == slow_common(first, second)


def test_rouge_l_is_rouge_scores() -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rougeL"])
    texts, references = pairs(40, seed=2)
    for text, reference in zip(texts, references, strict=True):
        text, reference = text.replace("très", "tres"), reference.replace("très", "tres")
        text, reference = text.replace("où", "ou"), reference.replace("où", "ou")
        assert overlap.rouge_l(text, reference) == pytest.approx(
            scorer.score(reference, text)["rougeL"].fmeasure
        )


def test_rouge_l_by_hand() -> None:
    assert overlap.rouge_l("The cat sat.", "the big cat sat down") == pytest.approx(2 * 3 / (3 + 5))
    assert overlap.rouge_l("", "a") == 0.0
    assert overlap.rouge_l("!!", "??") == 0.0


def test_words_of_any_script() -> None:
    assert overlap.words("Don't STOP, s'il vous plaît_!") == ["don", "t", "stop", "s", "il", "vous", "plaît"]
    assert overlap.words("猫が好き") == ["猫", "が", "好", "き"]
    assert overlap.words("कि का") == ["कि", "का"]  # vowel signs are part of the word
