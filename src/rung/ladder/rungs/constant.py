"""The same answer for every row: the floor that every other rung has to beat."""

from rung.ladder.classical import constant
from rung.ladder.rungs.classical import ClassicalRung
from rung.ladder.rungs.rung import register

register(
    ClassicalRung(
        constant.NAME,
        constant.TITLE,
        constant.KIND,
        constant.fit,
        constant.load,
        constant.applies,
        seconds=0.1,
        row_seconds=0.0001,
    )
)
