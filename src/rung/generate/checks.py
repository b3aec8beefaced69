"""What must hold before, while and after a model reads prompts: lengths, room in memory, finite numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from rung.bases.base import Base
from rung.compute.lead import lead_of
from rung.errors import BaseModelError, DataError
from rung.generate.cache import Ids

CACHE_BYTES = 2**30  # keys and values of the rows decoded together, about


def check_finite(base: Base, values: Tensor) -> None:
    """Raises `BaseModelError` where one of `values`, which the model computed, is not finite."""
    if not bool(values.isfinite().all()):
        raise BaseModelError(
            "the model's outputs are not finite",
            where=base.name,
            fix="Try --precision fp32; if it stays, the base or the adapter is broken",
        )


def context_left(base: Base) -> int:
    """Tokens of a row that fit into the base's context after what comes before every row."""
    return base.context - lead_of(base.model).length


def check_prompts(prompts: Sequence[Ids], context: int | Sequence[int], room: int) -> None:
    """Raises `DataError` naming the first prompt that is empty or leaves less than `room` tokens.

    `context`: of all prompts, or of each.
    """
    contexts = [context] * len(prompts) if isinstance(context, int) else context
    for i, (prompt, most) in enumerate(zip(prompts, contexts, strict=True), start=1):
        where = f"prompt {i} of {len(prompts)}"
        if not prompt:
            raise DataError("the prompt is empty", where=where, fix="Give it at least one token")
        if len(prompt) + room > most:
            raise DataError(
                f"the prompt has {len(prompt)} tokens and needs room for {room} more",
                where=where,
                why=f"the base reads {most} tokens at most",
                fix="Shorten the row, use fewer shots, or take a base with a longer context",
            )


def cache_bytes(base: Base) -> int:
    """Keys and values of one token in all layers."""
    config = base.model.config.get_text_config()
    all_heads = getattr(config, "num_attention_heads", None) or 1  # a model may have none
    heads = getattr(config, "num_key_value_heads", None) or all_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // all_heads
    return int(2 * config.num_hidden_layers * heads * size * base.dtype.itemsize)


def places_for(base: Base, tokens: int) -> int:
    """How many rows of `tokens` tokens fit in `CACHE_BYTES`; at least one."""
    return max(1, CACHE_BYTES // (cache_bytes(base) * max(1, tokens)))


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """The model in evaluation mode (no dropout), and back as it was."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
