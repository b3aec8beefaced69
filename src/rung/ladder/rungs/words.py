"""Logistic regression on TF-IDF of words and characters."""

from rung.ladder.classical import words
from rung.ladder.rungs.classical import ClassicalRung
from rung.ladder.rungs.rung import register

register(
    ClassicalRung(
        words.NAME,
        words.TITLE,
        words.KIND,
        words.fit,
        words.load,
        words.applies,
        seconds=1.0,
        row_seconds=0.002,
    )
)
