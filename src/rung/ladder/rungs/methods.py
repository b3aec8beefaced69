"""One rung for each method of `rung.methods`; a climb tries two of them unless it is asked for others."""

from rung.ladder.rungs.head import HeadRung
from rung.ladder.rungs.rung import register
from rung.ladder.rungs.tune import TuneRung
from rung.methods.table import METHODS

USUAL = ("lora", "full")

for name in METHODS:
    kind = HeadRung if METHODS.classifies(name) else TuneRung
    register(kind(name, METHODS.title(name), method=name, on_request=name not in USUAL))
