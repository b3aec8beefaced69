"""Ways to tune a base. A method is a value with its own defaults; see `rung.methods.method`."""

from rung.methods import full as _full
from rung.methods import lora as _lora
from rung.methods.method import METHODS, Attached, Files, Method, MethodSettings

__all__ = ["METHODS", "Attached", "Files", "Method", "MethodSettings"]

METHODS.add("lora", _lora.LORA)
METHODS.add("full", _full.FULL)
