"""Logistic regression on TF-IDF of words and characters."""

from rung.ladder.classical import word_sets, words
from rung.ladder.rungs.classical import ClassicalRung
from rung.ladder.rungs.rung import register

register(
    ClassicalRung(
        words.NAME,
        words.TITLE,
        words.KIND,
        word_sets.fit,
        word_sets.load,
        word_sets.applies,
        seconds=1.0,
        row_seconds=0.002,
    )
)
