"""Full fine-tuning: every weight of the base is trained."""

from rung.ladder.rungs.rung import register
from rung.ladder.rungs.tune import TuneRung

register(TuneRung("full", "full fine-tuning", method="full"))
