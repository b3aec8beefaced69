"""Knowledge: questions with a short answer. It is never inferred: the user says `--task knowledge`."""

from __future__ import annotations

from rung.data import Loaded
from rung.evaluation.tasks.generation import Generation
from rung.evaluation.tasks.kind import register
from rung.records import Task


class Knowledge(Generation):
    """Graded like generation; an answer is right if it is exactly the target."""

    name = "knowledge"
    title = "Knowledge"
    row_metric = "exact_match"

    def infer(self, loaded: Loaded) -> str:
        return ""

    def instruction(self, task: Task) -> str:
        return "Answer the question."


register(Knowledge())
