"""Answers of a classifier head: the label with the highest logit, of one pass over the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from rung.evaluation.run import Speaker
from rung.generate import states
from rung.ladder.classical import regression
from rung.ladder.classical.regression import Floats
from rung.ladder.responder import Responder
from rung.ladder.watch import Watcher
from rung.methods.head import Classifies
from rung.records import Example


def with_head(attached: object) -> Classifies | None:
    """What is attached, if it answers with labels."""
    return attached if isinstance(attached, Classifies) else None


@dataclass(frozen=True)
class HeadResponder(regression.Classifier):
    """A head on its base that answers the row as it is; see `Responder`."""

    speaker: Speaker  # with the head attached
    attached: Classifies
    kept: Responder | None = None  # which saves where the adapter lies

    @property
    def labels(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.attached.labels

    def judge(self, examples: Sequence[Example], watcher: Watcher | None = None) -> tuple[Floats, list[int]]:
        """See `Classifier`."""
        ids = self.speaker.renderer.prompts(examples, [example.prompt for example in examples])
        found = states.ends(self.speaker.base, ids, watcher.rows if watcher else None)  # (examples, d)
        with torch.inference_mode():
            head = self.attached.head
            logits = head.logits(found.to(head.weight.device)).double().cpu().numpy()
        return regression.log_softmax(logits), [len(row) for row in ids]

    def save(self, folder: Path) -> None:
        assert self.kept is not None
        self.kept.save(folder)
