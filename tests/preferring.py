"""Preference pairs of random tokens, and their loss as a textbook writes it, one answer at a time."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid
from transformers import PreTrainedModel

from rung.data.pairs import Pair, pair
from rung.records import Rendered
from tiny_model import VOCABULARY, plain_loss


def random_pairs(count: int, seed: int = 0, shared: int = 2, longest: int = 16) -> list[Pair]:
    """Pairs of random tokens; every `shared` of them have one prompt."""
    draw = random.Random(seed)

    def some(least: int) -> tuple[int, ...]:
        return tuple(draw.randrange(3, VOCABULARY) for _ in range(draw.randint(least, longest)))

    found, prompt = [], some(10)
    for number in range(count):
        prompt = some(10) if number % shared == 0 else prompt
        chosen, rejected = (row_of(f"pair{number}", prompt, some(1)) for _ in range(2))
        found.append(pair(chosen, rejected))
    return found


def row_of(name: str, prompt: tuple[int, ...], answer: tuple[int, ...]) -> Rendered:
    """A row with one answer."""
    return Rendered(name, prompt + answer, (False,) * len(prompt) + (True,) * len(answer))


def plain_margins(model: PreTrainedModel, pairs: Sequence[Pair]) -> Tensor:
    """log p(chosen) - log p(rejected) of each pair, each answer read alone: (n,)."""
    return torch.stack([plain_loss(model, [one.other]) - plain_loss(model, [one]) for one in pairs])


def plain_dpo(margins: Tensor, reference: Tensor, beta: float, smoothing: float = 0.0) -> Tensor:
    """The losses of pairs, from what the model and the reference say of them: (n,)."""
    scaled = beta * (margins - reference)
    return -(1 - smoothing) * logsigmoid(scaled) - smoothing * logsigmoid(-scaled)
