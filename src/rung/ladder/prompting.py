"""Prompting at its best: how to ask and how to read the answer are chosen on dev."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rung import storage
from rung.evaluation.judging import judge
from rung.evaluation.metrics import METRICS
from rung.evaluation.prompts import few_shot
from rung.evaluation.run import Prompt, Speaker, complete, pick_labels
from rung.generate.choose import log_likelihoods
from rung.ladder.prepare import Prepared
from rung.ladder.speaking import base_of, speaker_of
from rung.ladder.watch import Watcher
from rung.records import Choice, Completion, Example, Task, from_json, to_json

GENERATE = "writing"
FILE = "answer.json"


@dataclass(frozen=True, slots=True)
class Way:
    """One way to ask."""

    name: str
    instruction: bool = True  # whether the task's instruction and the shots are added to the row
    shots: tuple[Example, ...] = ()

    def prompt(self, task: Task, example: Example) -> Prompt:
        """The turns that are shown to the base."""
        return few_shot(task, self.shots, example) if self.instruction else example.prompt


@dataclass(frozen=True)
class Prompted:
    """A base that is asked in one way and whose answers are read in one way; see `Responder`."""

    speaker: Speaker
    task: Task
    way: Way
    how: str  # "writing", or a way of `pick_labels`
    max_new_tokens: int
    about: dict[str, Any]  # the base, as `base_of` writes it down

    def answer(self, examples: Sequence[Example], watcher: Watcher | None = None) -> list[Completion]:
        return answers(self.speaker, self.task, examples, self.way, self.max_new_tokens, watcher, self.how)[
            self.how
        ]

    def score(self, examples: Sequence[Example], choices: Sequence[str]) -> NDArray[np.float64] | None:
        return label_scores(
            self.speaker, examples, [self.way.prompt(self.task, one) for one in examples], choices
        )

    def save(self, folder: Path) -> None:
        value = {
            "way": to_json(self.way),
            "how": self.how,
            "max_new_tokens": self.max_new_tokens,
            "task": to_json(self.task),
            "base": self.about,
        }
        storage.write_json(folder / FILE, value)


def load(folder: Path) -> Prompted:
    """What `Prompted.save` wrote. Raises `DataError` or `BaseModelError`."""
    value = storage.read_json(folder / FILE)
    return Prompted(
        speaker=speaker_of(value["base"]),
        task=from_json(Task, value["task"], FILE),
        way=from_json(Way, value["way"], FILE),
        how=value["how"],
        max_new_tokens=value["max_new_tokens"],
        about=value["base"],
    )


def choose(
    prepared: Prepared, rung: str, choice: str, ways: Sequence[Way], dev: Sequence[Example], watcher: Watcher
) -> tuple[Prompted, tuple[Choice, ...]]:
    """The best of `ways` on `dev`, and what was chosen; `choice` is what choosing a way is called.

    Of equals the first way wins, and writing before scoring labels.
    """
    task = prepared.task
    scores: dict[str, dict[str, float | None]] = {}
    for way in ways:
        several = f": {choice} = {way.name}" if len(ways) > 1 else ""
        watcher.begin(rung, f"choosing on dev{several}")
        found = answers(prepared.speaker, task, dev, way, prepared.max_new_tokens, watcher)
        scores[way.name] = {
            how: judge(task, dev, completions).primary.value for how, completions in found.items()
        }
    sign = 1 if METRICS[task.primary].higher_is_better else -1
    best = {name: max(by.values(), key=lambda value: _worth(value, sign)) for name, by in scores.items()}
    way = max(ways, key=lambda way: _worth(best[way.name], sign))
    tried = scores[way.name]
    how = max(tried, key=lambda name: _worth(tried[name], sign))
    choices = []
    if len(ways) > 1:
        choices.append(Choice(choice, way.name, best))
    elif way.shots:
        choices.append(Choice(choice, way.name))
    if len(tried) > 1:
        choices.append(Choice("answer by", how, tried))
    prompted = Prompted(prepared.speaker, task, way, how, prepared.max_new_tokens, base_of(prepared))
    return prompted, tuple(choices)


def answers(
    speaker: Speaker,
    task: Task,
    examples: Sequence[Example],
    way: Way,
    max_new_tokens: int,
    watcher: Watcher | None = None,
    only: str | None = None,
) -> dict[str, list[Completion]]:
    """The answers by every way of answering the task allows, or at least by the one called `only`."""
    prompts = [way.prompt(task, example) for example in examples]
    rows = watcher.rows if watcher else None
    found: dict[str, list[Completion]] = {}
    if only in (None, GENERATE):
        found[GENERATE] = complete(speaker, examples, prompts, max_new_tokens, rows)
    if task.labels and only != GENERATE:
        found |= pick_labels(speaker, task, examples, prompts, rows)
    return found


def label_scores(
    speaker: Speaker, examples: Sequence[Example], prompts: Sequence[Prompt], choices: Sequence[str]
) -> NDArray[np.float64]:
    """Log-probabilities (examples, choices) in nats of each choice and its end of turn, after the prompt."""
    renderer = speaker.renderer
    ids = [renderer.completion_ids(choice) for choice in choices]
    return log_likelihoods(speaker.base, renderer.prompts(examples, prompts), ids)


def _worth(value: float | None, sign: int) -> float:
    """The more the better; nothing measured comes last."""
    return float("-inf") if value is None else sign * value
