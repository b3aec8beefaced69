"""The loss of a pack: nats over its target tokens, summed. What all rows begin with is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rung.bases import attention, head, shared
from rung.data.pack import pack
from rung.records import Rendered


def shared_prefix(model: PreTrainedModel, rows: Sequence[Rendered]) -> int:
    """Tokens all `rows` begin with and that are computed once; targets are never among them."""
    window = getattr(model.config.get_text_config(), "sliding_window", None)
    if window is not None and max(len(row.ids) for row in rows) > window:
        return 0
    first_places = [row.prompt_length - 1 if any(row.mask) else len(row.ids) - 1 for row in rows]
    return shared.shared_length([row.ids for row in rows], min(first_places))


def hidden_states(model: PreTrainedModel, rows: Sequence[Rendered], prefix: int = 0) -> Tensor:
    """Last hidden states (T, d): of the first `prefix` tokens, once, then of the rest of every row."""
    device = model.device
    tails = [len(row.ids) - prefix for row in rows]
    ids = [*rows[0].ids[:prefix], *chain.from_iterable(row.ids[prefix:] for row in rows)]
    layout: attention.Layout
    if prefix:
        layout, places = shared.Shared(prefix, tails), shared.positions(prefix, tails, device)
    else:
        layout, places = attention.Packed(tails), attention.positions(tails, device=device)
    out = model.base_model(
        input_ids=torch.tensor([ids], device=device), position_ids=places, use_cache=False, layout=layout
    )
    hidden: Tensor = out.last_hidden_state[0]
    return hidden


def target_places(rows: Sequence[Rendered], prefix: int = 0) -> tuple[list[int], list[int]]:
    """Where in `hidden_states` each target token is predicted (one position before it), and the token."""
    places, tokens, start = [], [], 0
    for row in rows:
        for at, learned in enumerate(row.mask):
            if learned and at > 0:
                places.append(start + at - 1)
                tokens.append(row.ids[at])
        start += len(row.ids) - prefix
    return places, tokens


def pack_loss(model: PreTrainedModel, rows: Sequence[Rendered]) -> Tensor:
    """Summed cross-entropy in nats over the target tokens of `rows`, with gradient: a scalar."""
    prefix = shared_prefix(model, rows)
    places, tokens = target_places(rows, prefix)
    hidden = hidden_states(model, rows, prefix)
    at, targets = (torch.tensor(x, dtype=torch.long, device=hidden.device) for x in (places, tokens))
    return head.loss_sum(model, hidden[at], targets)


def count_targets(rows: Sequence[Rendered]) -> int:
    """Target tokens of `rows`; a first token has nothing to be predicted from and is none."""
    return sum(sum(row.mask[1:]) for row in rows)


@torch.inference_mode()
def mean_loss(model: PreTrainedModel, rows: Sequence[Rendered], pack_tokens: int = 2048) -> float:
    """Nats per target token over `rows`, each token weighing the same."""
    lengths = [len(row.ids) for row in rows]
    total = 0.0
    for indices in pack(lengths, range(len(rows)), pack_tokens):
        total += float(pack_loss(model, [rows[index] for index in indices]))
    return total / count_targets(rows)
