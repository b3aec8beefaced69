"""Examples: reading them, splitting them, checking them, rendering them as prompts and tokens."""

from rung.data.check import Findings, require_trainable
from rung.data.formats import Loaded, example_of, read_examples
from rung.data.split import Split, normalise, sample

__all__ = [
    "Findings",
    "Loaded",
    "Split",
    "example_of",
    "normalise",
    "read_examples",
    "require_trainable",
    "sample",
]
