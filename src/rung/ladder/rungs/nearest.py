"""The answer of the most similar known row."""

from rung.ladder.classical import nearest
from rung.ladder.rungs.classical import ClassicalRung
from rung.ladder.rungs.rung import register

register(
    ClassicalRung(
        nearest.NAME,
        nearest.TITLE,
        nearest.KIND,
        nearest.fit,
        nearest.load,
        nearest.applies,
        seconds=0.2,
        row_seconds=0.001,
    )
)
