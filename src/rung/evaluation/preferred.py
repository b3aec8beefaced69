"""Which of a pair's two answers a model prefers: by their likelihood, or by its implicit reward.

    likelihood   log p(chosen) > log p(rejected), of whole answers or a token
    reward       log p(chosen) - log base(chosen)  >  log p(rejected) - log base(rejected)

The second is what DPO trains (arXiv 2305.18290, section 4, without its factor beta): how much more likely
than the base the tuned model finds one answer than the other. Where both say the same to the last digit, as a
model that has not moved does, the likelihood a token decides. Every answer counts with its end of turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rung.data.rejected import REJECTED, is_pair
from rung.evaluation.label_scores import PER_TOKEN, RAW
from rung.evaluation.run import Speaker, Watch
from rung.evaluation.tasks import KINDS
from rung.generate.cache import Ids
from rung.methods.slots import slots_of
from rung.records import Completion, Example, Rendered, Task
from rung.train.loss import row_losses

REWARD = "implicit reward"
WAYS = (RAW, PER_TOKEN)  # of a base
_AT_ONCE = 32  # pairs that are read before the watcher hears of it


@dataclass(frozen=True, slots=True)
class Read:
    """What a model says of both answers to a prompt: log-likelihoods in nats, and their tokens."""

    chosen: float
    rejected: float
    chosen_tokens: int
    rejected_tokens: int
    prompt_tokens: int

    @property
    def margin(self) -> float:
        """By how much the chosen answer is ahead, in nats."""
        return self.chosen - self.rejected

    @property
    def a_token(self) -> float:
        """The same of the means over tokens."""
        return self.chosen / self.chosen_tokens - self.rejected / self.rejected_tokens

    @property
    def tokens(self) -> int:
        """Tokens that are read."""
        return self.prompt_tokens + self.chosen_tokens + self.rejected_tokens


def picks(task: Task, examples: Sequence[Example]) -> bool:
    """Whether answers to `examples` are picked: they are pairs, and the task asks for it."""
    return KINDS[task.kind].pairs and bool(examples) and all(map(is_pair, examples))


def read_pairs(
    speaker: Speaker, examples: Sequence[Example], ids: Sequence[Ids], watch: Watch | None = None
) -> list[Read]:
    """Both answers of each of `examples` after its prompt, given as token ids.

    A prompt is computed once for both answers, and for all pairs of a pass that share it.
    """
    renderer = speaker.renderer
    found: list[Read] = []
    for start in range(0, len(examples), _AT_ONCE):
        some = range(start, min(start + _AT_ONCE, len(examples)))
        rows = [
            _row(ids[i], renderer.completion_ids(text))
            for i in some
            for text in (examples[i].target, str(examples[i].facts[REJECTED]))
        ]
        nats = row_losses(speaker.base.model, rows)
        found += [
            Read(-one, -two, chosen.learned, rejected.learned, len(chosen.ids) - chosen.learned)
            for one, two, chosen, rejected in zip(nats[::2], nats[1::2], rows[::2], rows[1::2], strict=True)
        ]
        if watch is not None:
            watch(len(found), len(examples))
    return found


def by_likelihood(examples: Sequence[Example], read: Sequence[Read], how: str) -> list[Completion]:
    """The likelier answer: of whole answers (`RAW`), or a token (`PER_TOKEN`)."""
    return [
        _completion(example, one, one.margin if how == RAW else one.a_token, {"margin": one.margin})
        for example, one in zip(examples, read, strict=True)
    ]


def by_reward(examples: Sequence[Example], tuned: Sequence[Read], base: Sequence[Read]) -> list[Completion]:
    """The answer with the higher implicit reward, from what the tuned model and its base say."""
    found = []
    for example, one, before in zip(examples, tuned, base, strict=True):
        reward = one.margin - before.margin
        values = {"margin": reward, "chosen_change": (one.chosen - before.chosen) / one.chosen_tokens}
        found.append(_completion(example, one, reward or one.a_token, values))
    return found


def preferred(
    speaker: Speaker, examples: Sequence[Example], ids: Sequence[Ids], watch: Watch | None = None
) -> list[Completion]:
    """What the model prefers as it is: by its implicit reward where an adapter is on, else by likelihood a
    token."""
    slots = slots_of(speaker.base.model)
    tuned = read_pairs(speaker, examples, ids, watch)
    if slots.on is None:
        return by_likelihood(examples, tuned, PER_TOKEN)
    with slots.using(None):
        base = read_pairs(speaker, examples, ids, watch)
    return by_reward(examples, tuned, base)


def _row(prompt: Ids, answer: Ids) -> Rendered:
    return Rendered("", (*prompt, *answer), (False,) * len(prompt) + (True,) * len(answer))


def _completion(example: Example, one: Read, ahead: float, values: dict[str, float]) -> Completion:
    text = example.target if ahead > 0 else str(example.facts[REJECTED])
    values = {**values, "likelier": float(one.a_token > 0)}
    return Completion(example.id, text, 0, read=one.tokens, values=values)
