"""LoRA: low-rank updates of the base's linear layers are trained."""

from rung.ladder.rungs.rung import register
from rung.ladder.rungs.tune import TuneRung

register(TuneRung("lora", "LoRA", method="lora"))
