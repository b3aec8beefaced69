"""Classification: every target is one of few labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from rung.data import Loaded
from rung.evaluation.calls import name_of_call
from rung.evaluation.parse import read_label
from rung.evaluation.tasks.kind import Grade, Kind, list_of, register
from rung.records import Task

MOST_LABELS, LABEL_WORDS, LABEL_CHARACTERS = 200, 6, 60
_NAMED = 60  # labels named in the instruction


class Classification(Kind):
    """Right where the answer is the target's label; labels are those of the file, most frequent first."""

    name = "classification"
    title = "Classification"
    metrics = ("accuracy", "macro_f1")
    row_metric = "accuracy"
    wanted = "single label"
    any_text = False

    def infer(self, loaded: Loaded) -> str:
        targets = [example.target.strip() for example in loaded.examples]
        if sum(bool(name_of_call(target)) for target in targets) >= 0.9 * len(targets):
            return ""
        counts = Counter(targets)
        again = {label for label, n in counts.items() if n > 1 and _is_short(label)}
        covered = sum(counts[label] for label in again)
        most = max(2, min(MOST_LABELS, len(targets) // 5))
        if not 2 <= len(again) <= most or covered < 0.95 * len(targets):
            return ""
        return (
            f"Classification: {covered:,} of {len(targets):,} targets are one of {len(again)} short labels."
        )

    def fill(self, task: Task, loaded: Loaded) -> Task:
        counts = Counter(example.target.strip() for example in loaded.examples)
        return replace(task, labels=tuple(label for label, _ in counts.most_common()))

    def parse(self, task: Task, text: str) -> str | None:
        return read_label(text, task.labels)

    def answer(self, task: Task, target: str, text: str) -> str | None:
        """A label that the task does not know can still be right."""
        return read_label(text, tuple(dict.fromkeys((*task.labels, _label(task, target)))))

    def grade(self, task: Task, target: str, answer: str | None) -> Grade:
        wanted = _label(task, target)
        return Grade({"accuracy": float(answer == wanted)}, {"wanted": wanted, "got": answer})

    def instruction(self, task: Task) -> str:
        labels = task.labels[:_NAMED]
        between = "\n" if any("," in label for label in labels) else ", "
        which = "labels" if len(labels) == len(task.labels) else "labels or one like them"
        return (
            f"Classify the text. Answer with one of these {which} and nothing else:{list_of(labels, between)}"
        )


def _label(task: Task, target: str) -> str:
    return read_label(target, task.labels) or target.strip()


def _is_short(label: str) -> bool:
    return 0 < len(label) <= LABEL_CHARACTERS and len(label.split()) <= LABEL_WORDS


register(Classification())
