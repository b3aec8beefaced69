"""Generation: any text as an answer to any prompt; what is left where no other kind fits."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rung.data import Loaded
from rung.evaluation import overlap
from rung.evaluation.tasks.kind import Grade, Kind, register
from rung.records import Task


class Generation(Kind):
    """Graded by what an answer shares with the target."""

    name = "generation"
    title = "Generation"
    metrics = ("rouge_l", "exact_match")
    row_metric = "rouge_l"

    def infer(self, loaded: Loaded) -> str:
        targets = [example.target for example in loaded.examples]
        words = median(len(target.split()) for target in targets)
        return (
            f"Generation: {len(set(targets)):,} different targets in {len(targets):,} rows, "
            f"half of them over {words:.0f} words."
        )

    def grade(self, task: Task, target: str, answer: str | None) -> Grade:
        said = answer or ""
        same = bool(said) and _loose(said) == _loose(target)
        return Grade({"rouge_l": overlap.rouge_l(said, target), "exact_match": float(same)})


def _loose(text: str) -> Sequence[str]:
    return overlap.words(text) or text.split()


GENERATION = Generation()
register(GENERATION)
