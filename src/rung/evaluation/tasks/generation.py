"""Generation: any text as an answer to any prompt; what is left where no other kind fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from statistics import median_low
from typing import ClassVar

from rung.data import Loaded
from rung.data.label_lists import LENGTH, MOST_LABELS
from rung.evaluation import overlap
from rung.evaluation.labels import is_number
from rung.evaluation.tasks.kind import Grade, Kind, counted, register
from rung.records import Example, Task


class Generation(Kind):
    """Graded by what an answer shares with the target."""

    name = "generation"
    title = "Generation"
    metrics: ClassVar[tuple[str, ...]] = ("rouge_l", "exact_match")
    row_metric = "rouge_l"
    by_likelihood = True

    def infer(self, loaded: Loaded) -> str:
        targets = [example.target for example in loaded.examples]
        half = median_low(len(overlap.words(target)) for target in targets)
        unit = "character" if _mostly_unspaced(targets) else "word"
        return (
            f"Generation: {counted(len(set(targets)), 'different target')} in "
            f"{counted(len(targets), 'row')}, "
            f"half of them of up to {counted(half, unit)}."
        )

    def fill(self, task: Task, loaded: Loaded) -> Task:
        different = Counter(example.target.strip() for example in loaded.examples)
        if len(different) > MOST_LABELS and _come_back(different):
            note = (
                f"{len(different):,} short targets come back again and again; more than {MOST_LABELS} are "
                "read as texts. If they are labels: --task classification"
            )
            return replace(task, notes=(note,))
        if not all(is_number(example.target) for example in loaded.examples):
            return task
        note = "all targets are numbers; they are compared as text, so a near miss counts as wrong"
        return replace(task, notes=(note,))

    def grade(self, task: Task, example: Example, answer: str | None) -> Grade:
        said = answer or ""
        same = bool(said) and _loose(said) == _loose(example.target)
        return Grade({"rouge_l": overlap.rouge_l(said, example.target), "exact_match": float(same)})


def _mostly_unspaced(targets: Sequence[str]) -> bool:
    """Whether most letters are of a script whose characters `overlap.words` counts one by one."""
    letters = [letter for target in targets for letter in target[:20] if letter.isalpha()]
    return 2 * sum(map(overlap.stands_alone, letters)) > len(letters)


def _come_back(counts: Counter[str]) -> bool:
    """Whether nearly all targets are short and occur several times, as labels do."""
    again = sum(n for target, n in counts.items() if n > 1 and len(target) <= LENGTH)
    return again >= 0.95 * counts.total()


def _loose(text: str) -> Sequence[str]:
    return overlap.words(text) or text.split()


GENERATION = Generation()
register(GENERATION)
