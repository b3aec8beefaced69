"""Preferences: of two answers to a prompt, people chose one. A rung answers with the one that it prefers."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

from rung.data import Loaded
from rung.data.rejected import REJECTED, UNPAIRED, is_pair
from rung.evaluation.tasks.kind import Grade, Kind, register
from rung.records import Example, Task

_SHARE = 0.5  # of the rows have a rejected answer, for all of them to be pairs


class Preferences(Kind):
    """An answer is right if it is the chosen one.

    Other numbers come with the answer, from what picked it (`rung.evaluation.preferred`): by how much the
    chosen answer is ahead (``margin``, nats), whether it is the likelier one a token (``likelier``), and how
    its log-likelihood has changed from the base (``chosen_change``, nats a token).
    """

    name = "preferences"
    title = "Preferences"
    metrics = ("reward_accuracy", "margin", "likelier", "chosen_change")
    row_metric = "reward_accuracy"
    wanted = "answer"
    pairs = True

    def infer(self, loaded: Loaded) -> str:
        pairs = sum(map(is_pair, loaded.examples))
        if pairs < _SHARE * len(loaded.examples):
            return ""
        of_rows = f"all {pairs:,} rows" if pairs == len(loaded.examples) else f"{pairs:,} rows"
        prompts = len({example.prompt for example in loaded.examples})
        return f"Preferences: {of_rows} have a chosen and a rejected answer; {prompts:,} different prompts."

    def fill(self, task: Task, loaded: Loaded) -> Task:
        pairs = [example for example in loaded.examples if is_pair(example)]
        if not pairs:
            return task
        longer = fmean(len(one.target) > len(str(one.facts[REJECTED])) for one in pairs)
        if 0.3 <= longer <= 0.7:
            return task
        which = "longer" if longer > 0.5 else "shorter"
        share = max(longer, 1 - longer)
        note = (
            f"the chosen answer is the {which} one in {share:.0%} of the pairs: length alone says much here"
        )
        return replace(task, notes=(*task.notes, note))

    def unreadable(self, task: Task, example: Example) -> str:
        if why := str(example.facts.get(UNPAIRED, "")):
            return why
        if REJECTED not in example.facts:
            return "it has no rejected answer (--task generation learns the chosen answers alone)"
        rejected = str(example.facts[REJECTED]).strip()
        if not rejected:
            return "its rejected answer is empty"
        if rejected == example.target.strip():
            return "its chosen and rejected answers are the same"
        return ""

    def grade(self, task: Task, example: Example, answer: str | None) -> Grade:
        return Grade({"reward_accuracy": float(answer is not None and answer == example.target.strip())})


register(Preferences())
