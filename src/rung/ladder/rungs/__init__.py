"""The rungs of the ladder, one file each; to add one from outside, see docs/extending.md."""

# The order is the order of the ladder, cheapest first.
from rung.ladder.rungs import (  # isort: skip
    constant,
    length,
    nearest,
    words,
    probe,
    zero_shot,
    few_shot,
    retrieval,
    methods,
    tuned_retrieval,
)
from rung.ladder.rungs.rung import RUNGS, Outcome, Rung, Skipped, asked_for, place, register, rung_of

__all__ = [
    "RUNGS",
    "Outcome",
    "Rung",
    "Skipped",
    "asked_for",
    "constant",
    "few_shot",
    "length",
    "methods",
    "nearest",
    "place",
    "probe",
    "register",
    "retrieval",
    "rung_of",
    "tuned_retrieval",
    "words",
    "zero_shot",
]
