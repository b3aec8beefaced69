"""Ways to tune a base. A method is a value with its own settings and defaults; see `rung.methods.method`."""

from rung.methods.table import METHODS

__all__ = ["METHODS"]
