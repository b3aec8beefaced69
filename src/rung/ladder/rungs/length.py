"""The longer answer of a pair, or the shorter one."""

from rung.ladder.classical import length
from rung.ladder.rungs.classical import ClassicalRung
from rung.ladder.rungs.rung import register

register(
    ClassicalRung(
        length.NAME,
        length.TITLE,
        length.KIND,
        length.fit,
        length.load,
        length.applies,
        seconds=0.1,
        row_seconds=0.0001,
    )
)
