"""How an answer comes from a model that has read a prompt: it is written, or a label is picked by likelihood.

What is picked never misses the format, and nothing is decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rung.data.rejected import is_pair
from rung.evaluation.label_rules import LabelRule
from rung.evaluation.label_scores import pick_and_score, pick_labels
from rung.evaluation.preferred import REWARD, preferred
from rung.evaluation.run import Speaker, Watch, write
from rung.evaluation.tasks import KINDS, grammars
from rung.generate.cache import Ids
from rung.generate.choose import Scored, log_likelihoods
from rung.ladder.responder import Scores
from rung.ladder.trials import CONSTRAINED, GENERATE
from rung.records import Completion, Example, Task


@dataclass(frozen=True, slots=True)
class AnswerBy:
    """A way of answering; kept with saved answers and in an adapter's rung.json."""

    name: str = GENERATE
    labels: tuple[str, ...] = ()  # of the task; those that are picked from
    rule: LabelRule | None = None  # how a label is picked; None: the answer is written

    @property
    def constrained(self) -> bool:
        """Whether what is written is kept to the grammar of the task."""
        return self.name == CONSTRAINED


WRITING = AnswerBy()
PREFERRING = AnswerBy(REWARD)  # of two answers in a row; a row without them gets one that is written


def usual(task: Task) -> AnswerBy:
    """How a tuned model answers where nothing was tried on dev."""
    return PREFERRING if KINDS[task.kind].pairs else WRITING


@dataclass(frozen=True)
class Answering:
    """A model that answers prompts, given as token ids, in one way."""

    speaker: Speaker
    by: AnswerBy
    max_new_tokens: int  # of an answer that is written
    task: Task | None = None  # whose grammar answers are kept to, where `by` says so

    def answer(
        self, examples: Sequence[Example], ids: Sequence[Ids], watch: Watch | None = None
    ) -> list[Completion]:
        """One answer to each prompt; `examples` name them."""
        if self.by == PREFERRING and examples and all(map(is_pair, examples)):
            return preferred(self.speaker, examples, ids, watch)
        if self.by.rule is None:
            grammars = self._grammars(examples)
            found = write(self.speaker, examples, ids, self.max_new_tokens, watch, grammars=grammars)
            return [replace(one, text=one.text.strip()) for one in found] if grammars else found
        return pick_labels(self.speaker, self.by.labels, self.by.rule, examples, ids, watch)

    def score(self, ids: Sequence[Ids], choices: Sequence[str]) -> Scores:
        """Log-likelihoods (prompts, choices) in nats of each choice and its end of turn.

        Where labels are picked and these are the choices, they are corrected by the rule and add up to 1.
        """
        tokens = self._tokens(choices)
        return self._under_rule(log_likelihoods(self.speaker.base, ids, tokens), choices, tokens)

    def answer_and_score(
        self, examples: Sequence[Example], ids: Sequence[Ids], choices: Sequence[str]
    ) -> tuple[list[Completion], Scores]:
        """Both, of one reading of the prompts. An answer that is written need not be the best choice."""
        speaker, rule = self.speaker, self.by.rule
        tokens = self._tokens(choices)
        if rule is None:
            scored = Scored(speaker.base, ids, tokens)
            grammars = self._grammars(examples)
            found = write(speaker, examples, ids, self.max_new_tokens, on_read=scored, grammars=grammars)
            return found, scored.scores
        if tuple(choices) != self.by.labels:
            return self.answer(examples, ids), self.score(ids, choices)
        answers, scores = pick_and_score(speaker, choices, rule, examples, ids)
        return answers, self._under_rule(scores, choices, tokens)

    def _grammars(self, examples: Sequence[Example]) -> list[str] | None:
        """What the answer to each row is kept to; None where it is written freely."""
        return grammars(self.task, examples) if self.by.constrained and self.task is not None else None

    def lengths(self, choices: Sequence[str]) -> list[int]:
        """Tokens of each choice and its end of turn."""
        return [len(one) for one in self._tokens(choices)]

    def _tokens(self, choices: Sequence[str]) -> list[list[int]]:
        """Each choice and its end of turn."""
        return [self.speaker.renderer.completion_ids(choice) for choice in choices]

    def _under_rule(self, scores: Scores, choices: Sequence[str], tokens: Sequence[Ids]) -> Scores:
        if self.by.rule is None or tuple(choices) != self.by.labels:
            return scores
        scores = self.by.rule.applied(scores, [len(one) for one in tokens])
        found: Scores = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
        return found
