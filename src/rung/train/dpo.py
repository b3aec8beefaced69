"""Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290): a loss over pairs of answers.

    margin = (log p(chosen) - log p(rejected)) - (log ref(chosen) - log ref(rejected))        nats
    loss   = -(1 - s) log sigmoid(beta margin)  -  s log sigmoid(-beta margin)                a pair

p is the model that is trained and ref the one that training began with, both over the tokens of the last
answer and its end of turn; s is label smoothing (conservative DPO, https://ericmitchell.ai/cdpo.pdf), 0 for
none. What ref says of every pair is computed once, before training (`reference`).

A pass runs over the prefix tree of all answers in it: a prompt is computed once for both answers and for
all pairs that share it. With g = beta ((1 - s) sigmoid(-beta margin) - s sigmoid(beta margin)), the gradient
is that of cross-entropy in which a token of the chosen answer counts g times and one of the rejected -g
times, so it goes through `rung.compute.head.loss_sum`, as that of every other loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid
from transformers import PreTrainedModel

from rung import storage
from rung.compute import head
from rung.compute.ends import Below, states_at
from rung.compute.passes import tree_of
from rung.data.pairs import Pair, pair_rows, texts
from rung.records import Rendered
from rung.train.loss import count_targets, learned, row_losses

FILE = "reference.json"  # in the folder of the checkpoints


@dataclass(frozen=True, slots=True)
class Dpo:
    """The `rung.methods.method.Objective` of pairs; a pair is one target."""

    beta: float = 0.1
    smoothing: float = 0.0
    reference: Mapping[str, float] = field(default_factory=dict)  # see `reference`; 0 if empty

    def loss(self, model: PreTrainedModel, rows: Sequence[Rendered], below: Below | None = None) -> Tensor:
        """Summed over `rows`, all of them pairs, with gradient: a scalar."""
        return self._pass(model, pair_rows(rows), below)[1]

    def count(self, rows: Sequence[Rendered]) -> int:
        return len(rows)

    def facts(self) -> dict[str, Any]:
        return {"loss": {"name": "dpo", "beta": self.beta, "smoothing": self.smoothing}}

    def each(self, model: PreTrainedModel, rows: Sequence[Rendered]) -> list[float]:
        """The loss of each pair, without gradient."""
        with torch.inference_mode():
            return [float(self._pass(model, [one], None)[0]) for one in pair_rows(rows)]

    def _pass(
        self, model: PreTrainedModel, pairs: Sequence[Pair], below: Below | None
    ) -> tuple[Tensor, Tensor]:
        """The losses of `pairs` (n,), and a scalar: their sum, with gradient."""
        both = texts(pairs)
        ids = [row.ids for row in both]
        tree = tree_of(model, ids)
        places, tokens = (
            torch.tensor(one, dtype=torch.long, device=model.device) for one in learned(tree, both)
        )  # (N,), those of the chosen answers first
        hidden = states_at(model, tree, ids, places, below)  # (N, d)
        of_pair = _owners(both, len(pairs)).to(model.device)  # (N,)
        nats = head.losses(model, hidden.detach(), tokens)  # (N,)
        sign = torch.ones_like(nats)  # 1 for tokens of chosen answers, -1 for others
        sign[count_targets(pairs) :] = -1
        base = [self.reference[one.example_id] if self.reference else 0.0 for one in pairs]
        known = torch.tensor(base, dtype=nats.dtype, device=nats.device)  # (n,)
        margin = torch.zeros_like(known).index_add_(0, of_pair, -sign * nats) - known  # (n,)
        scaled = self.beta * margin
        losses = -(1 - self.smoothing) * logsigmoid(scaled) - self.smoothing * logsigmoid(-scaled)
        pull = self.beta * ((1 - self.smoothing) * (-scaled).sigmoid() - self.smoothing * scaled.sigmoid())
        if not torch.is_grad_enabled():
            return losses, losses.sum()
        surrogate = head.loss_sum(model, hidden, tokens, sign * pull[of_pair])
        return losses, surrogate + (losses.sum() - surrogate.detach())


def reference(
    model: PreTrainedModel, rows: Sequence[Rendered], folder: Path | None = None
) -> dict[str, float]:
    """By example, log p(chosen) - log p(rejected) in nats of the model as it is now.

    With a `folder` the numbers are written to a file there, and those of the same pairs are read from it, so
    that a training that was stopped goes on with the same ones. Raises `ResumeError` where it is damaged.
    """
    pairs = pair_rows(rows)
    mark = storage.fingerprint([[one.example_id, one.ids, one.other.ids] for one in pairs])
    path = folder / FILE if folder is not None else None
    if path is not None and path.is_file():
        about = storage.read_object(path, mark=str, margins=dict)
        if about["mark"] == mark:
            return {str(name): float(value) for name, value in about["margins"].items()}
    nats = row_losses(model, texts(pairs))
    found = {
        one.example_id: rejected - chosen
        for one, chosen, rejected in zip(pairs, nats, nats[len(pairs) :], strict=False)
    }
    if path is not None:
        storage.make_folder(path.parent)
        storage.write_json(path, {"mark": mark, "margins": found})
    return found


def _owners(both: Sequence[Rendered], pairs: int) -> Tensor:
    """For each learned token of `both`, answers of so many pairs, the number of its pair: (N,)."""
    counts = torch.tensor([count_targets([row]) for row in both])
    return (torch.arange(len(both)) % pairs).repeat_interleave(counts)
