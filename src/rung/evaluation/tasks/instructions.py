"""Instructions that a program can check: an answer has to follow the rules of its row, and needs no target.

Rows with an answer and without rules, such as those that are learned, are graded by what an answer shares
with theirs (ROUGE-L): that is what choices on dev go by where the rules are in the test rows alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rung.data import Loaded
from rung.data.verifiable import RULES, has_rules
from rung.errors import DataError
from rung.evaluation import overlap
from rung.evaluation.instruction_rules import follows, problem, variants
from rung.evaluation.tasks.kind import Grade, Kind, counted, register
from rung.records import Example, Task

_LEVELS = ("strict", "loose")
_MOST_RULES = 100  # of a row


class Instructions(Kind):
    """Right where every rule of the row is followed: by the answer as it is (strict), or by one of its
    variants without introduction, closing line or asterisks (loose)."""

    name = "instructions"
    title = "Instructions"
    metrics = ("prompt_strict", "instruction_strict", "prompt_loose", "instruction_loose")
    row_metric = "prompt_strict"
    by_likelihood = True

    def infer(self, loaded: Loaded) -> str:
        return why(loaded)

    def needs_target(self, example: Example) -> bool:
        return not has_rules(example)

    def unreadable(self, task: Task, example: Example) -> str:
        return next((f"its rules cannot be checked: {wrong}" for wrong in _problems(example)), "")

    def grade(self, task: Task, example: Example, answer: str | None) -> Grade:
        said = answer or ""
        if not has_rules(example):
            return _compared(overlap.rouge_l(said, example.target))
        if wrong := next(iter(_problems(example)), ""):
            raise DataError(f"the row's rules cannot be checked: {wrong}")
        values: dict[str, float] = {}
        fields: list[dict[str, Any]] = []
        rules = rules_of(example)
        texts = {"strict": (said,), "loose": variants(said)}
        for level in _LEVELS:
            right = [any(follows(name, given, text) for text in texts[level]) for name, given in rules]
            values |= {f"prompt_{level}": float(all(right)), f"followed_{level}": float(sum(right))}
            if level == "strict":
                fields = [_field(name, given, held) for (name, given), held in zip(rules, right, strict=True)]
        return Grade(values | {"rules": float(len(rules))}, {"fields": fields})


def why(loaded: Loaded) -> str:
    """Why these rows are to be graded by rules; empty where none has any."""
    with_rules = [example for example in loaded.examples if has_rules(example)]
    if not with_rules:
        return ""
    common = Counter(name for example in with_rules for name, _ in _rules_that_can_be_read(example))
    often = f", most often {common.most_common(1)[0][0]}" if common else ""
    return f"Instructions: {counted(len(with_rules), 'row')} with rules that a program can check{often}."


def rules_of(example: Example) -> list[tuple[str, Mapping[str, Any]]]:
    """The rules of a row with their arguments. `Kind.unreadable` must have found nothing."""
    found = example.facts[RULES]
    names = found["names"]
    return list(zip(names, found["arguments"] or [{}] * len(names), strict=True))


def _problems(example: Example) -> list[str]:
    """What is wrong with the rules of a row."""
    if not has_rules(example):
        return []
    found = example.facts[RULES]
    names, arguments = found["names"], found["arguments"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return ["their names are not a list of texts"]
    if len(names) > _MOST_RULES:
        return [f"there are more than {_MOST_RULES}"]
    if arguments is not None and (not isinstance(arguments, list) or len(arguments) != len(names)):
        return [f"there are {counted(len(names), 'name')}, and kwargs is not a list of as many objects"]
    return [wrong for name, given in rules_of(example) if (wrong := problem(name, given))]


def _rules_that_can_be_read(example: Example) -> list[tuple[str, Mapping[str, Any]]]:
    return [] if _problems(example) else rules_of(example)


def _compared(score: float) -> Grade:
    """The grade of a row with a target and no rules: the same number at every level."""
    values = {f"{what}_{level}": score for level in _LEVELS for what in ("prompt", "followed")}
    return Grade(values | {"rules": 1.0})


def _field(name: str, given: Mapping[str, Any], held: bool) -> dict[str, Any]:
    said = ", ".join(f"{key} {value}" for key, value in given.items() if value is not None)
    got = {"got": said or "followed"} if held else {}
    return {"path": name, "wanted": said or "followed", **got, "right": held}


register(Instructions())
