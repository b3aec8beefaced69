"""The loss of a pack: nats over its target tokens, summed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rung.bases import head
from rung.bases.attention import Packed, positions
from rung.data.pack import pack
from rung.records import Rendered


def hidden_states(model: PreTrainedModel, rows: Sequence[Rendered]) -> Tensor:
    """Last hidden states (T, d) of rows packed side by side, T the sum of their lengths."""
    device = model.device
    lengths = [len(row.ids) for row in rows]
    ids = torch.tensor([list(chain.from_iterable(row.ids for row in rows))], device=device)
    body = model.base_model
    out = body(
        input_ids=ids,
        position_ids=positions(lengths, device=device),
        use_cache=False,
        layout=Packed(lengths),
    )
    hidden: Tensor = out.last_hidden_state[0]
    return hidden


def target_places(rows: Sequence[Rendered]) -> tuple[list[int], list[int]]:
    """Where in the pack each target token is predicted (one position before it), and the token."""
    places, tokens, start = [], [], 0
    for row in rows:
        for at, learned in enumerate(row.mask):
            if learned and at > 0:
                places.append(start + at - 1)
                tokens.append(row.ids[at])
        start += len(row.ids)
    return places, tokens


def pack_loss(model: PreTrainedModel, rows: Sequence[Rendered]) -> Tensor:
    """Summed cross-entropy in nats over the target tokens of `rows`, with gradient: a scalar."""
    places, tokens = target_places(rows)
    hidden = hidden_states(model, rows)
    device = hidden.device
    at, targets = (torch.tensor(x, dtype=torch.long, device=device) for x in (places, tokens))
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
