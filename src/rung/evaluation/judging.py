"""Grade answers and measure: one path for every rung and for `rung evaluate`; no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rung.evaluation.metrics import grade, measures
from rung.records import Answer, Completion, Example, Measure, Task


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Graded answers and what they add up to."""

    answers: tuple[Answer, ...]
    metrics: tuple[Measure, ...]  # the primary one first
    counts: Mapping[str, int]

    @property
    def primary(self) -> Measure:
        return self.metrics[0]


def judge(
    task: Task, examples: Sequence[Example], completions: Sequence[Completion], seed: int = 0
) -> Evaluation:
    """Grade completions and measure; rows our grader could not judge are left out and counted as `error`."""
    scores = [grade(task, example, one) for example, one in zip(examples, completions, strict=True)]
    answers = tuple(
        Answer(
            example_id=score.example_id,
            text=one.text,
            status=score.status,
            answer=score.answer,
            values=score.values,
            tokens=one.tokens,
            note=score.note,
            evidence=score.evidence,
        )
        for score, one in zip(scores, completions, strict=True)
    )
    counts = Counter(score.status for score in scores)
    return Evaluation(
        answers=answers,
        metrics=measures(task, examples, scores, [one.text for one in completions], seed),
        counts={name: counts[name] for name in ("ok", "unparsed", "truncated", "error")},
    )
