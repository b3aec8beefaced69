"""Kinds of tasks, one file each, and how the task of a file is inferred from its rows."""

# The order is the order in which `understand` tries them; text that fits none is generation.
from rung.evaluation.tasks import (  # isort: skip
    extraction,
    classification,
    api_call,
    translation,
    knowledge,
    instructions,
    generation,
)
from rung.evaluation.tasks.inference import tidy, understand, unreadable, with_primary
from rung.evaluation.tasks.kind import KINDS, Grade, Kind, register

__all__ = [
    "KINDS",
    "Grade",
    "Kind",
    "api_call",
    "classification",
    "extraction",
    "generation",
    "instructions",
    "knowledge",
    "register",
    "tidy",
    "translation",
    "understand",
    "unreadable",
    "with_primary",
]
