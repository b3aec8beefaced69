"""Ask a model: one path for every rung that has a base and for `rung evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from rung.bases.base import Base
from rung.data.templates import Renderer
from rung.evaluation.prompts import content_free
from rung.generate.choose import best_choices, log_likelihoods
from rung.generate.engine import Engine
from rung.records import Completion, Example, Message, Task

Watch = Callable[[int, int], None]  # rows done, rows in all
Prompt = tuple[Message, ...]


@dataclass
class Speaker:
    """A base that can be asked: model, the one writer of tokens, and the decoding engine."""

    base: Base
    renderer: Renderer
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self.engine = Engine(self.base)


def complete(
    speaker: Speaker,
    examples: Sequence[Example],
    prompts: Sequence[Prompt],
    max_new_tokens: int,
    watch: Watch | None = None,
) -> list[Completion]:
    """Greedy answers to `prompts`, one for each example."""
    renderer = speaker.renderer
    asked = renderer.prompts(examples, prompts)
    generated = speaker.engine.generate(
        asked,
        max_new_tokens=max_new_tokens,
        stop_ids=renderer.stop_ids,
        on_progress=watch,
    )
    return [
        Completion(
            example.id,
            renderer.decode(one.ids),
            len(one.ids) + (not one.truncated),
            truncated=one.truncated,
            read=len(ids),
        )
        for example, one, ids in zip(examples, generated, asked, strict=True)
    ]


def pick_labels(
    speaker: Speaker,
    task: Task,
    examples: Sequence[Example],
    prompts: Sequence[Prompt],
    watch: Watch | None = None,
) -> dict[str, list[Completion]]:
    """The label with the highest likelihood for each prompt: plain, and with contextual calibration.

    Calibration subtracts what the model gives each label when the text is empty of content, averaged over
    a few such texts (Zhao et al. 2021, arXiv 2102.09690, in log space).
    """
    renderer = speaker.renderer
    choices = [renderer.completion_ids(label) for label in task.labels]
    empty = [renderer.prompt_ids(prompt) for prompt in content_free(prompts[0])]
    asked = renderer.prompts(examples, prompts)
    prior = log_likelihoods(speaker.base, empty, choices)
    prior = prior - np.logaddexp.reduce(prior, axis=1, keepdims=True)
    corrections = {"likelihood": np.zeros(len(choices)), "calibrated likelihood": -prior.mean(0)}
    best = best_choices(speaker.base, asked, choices, list(corrections.values()), on_progress=watch)
    answers = dict(zip(corrections, best, strict=True))
    return {
        name: [
            Completion(example.id, task.labels[int(best)], tokens=0, read=len(ids))
            for example, best, ids in zip(examples, picks, asked, strict=True)
        ]
        for name, picks in answers.items()
    }
