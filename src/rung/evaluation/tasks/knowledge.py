"""Knowledge: questions with a short answer. It looks like generation, so the user says it."""

from __future__ import annotations

from rung.data import Loaded
from rung.evaluation.tasks.generation import Generation
from rung.evaluation.tasks.kind import register
from rung.records import Task


class Knowledge(Generation):
    """Graded as generation is; a row is right where its answer is the target."""

    name = "knowledge"
    title = "Knowledge"
    row_metric = "exact_match"

    def infer(self, loaded: Loaded) -> str:
        return ""

    def instruction(self, task: Task) -> str:
        return "Answer the question."


register(Knowledge())
