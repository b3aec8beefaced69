"""Kinds of tasks, one file each, and how the task of a file is inferred from its rows."""

# The order is the order in which `understand` tries them; text that fits none is generation.
from rung.evaluation.tasks import (  # isort: skip
    preferences,
    extraction,
    multi_label,
    classification,
    api_call,
    translation,
    knowledge,
    instructions,
    generation,
)
from rung.evaluation.tasks.inference import (
    doubts,
    grammars,
    learn,
    tidy,
    understand,
    unreadable,
    with_primary,
)
from rung.evaluation.tasks.kind import KINDS, Grade, Kind, register

__all__ = [
    "KINDS",
    "Grade",
    "Kind",
    "api_call",
    "classification",
    "doubts",
    "extraction",
    "generation",
    "grammars",
    "instructions",
    "knowledge",
    "learn",
    "multi_label",
    "preferences",
    "register",
    "tidy",
    "translation",
    "understand",
    "unreadable",
    "with_primary",
]
