"""Keep what the base does on general texts: a penalty on moving away from it, and replay.

    loss = task loss  +  weight KL(base || tuned)  +  replay (-log p_tuned)      (nats per token)

The last two are means over the learned tokens of a few general texts, which are read in the same pass as the
rows of the step. The base's log-probabilities are computed once, before training, and kept for the `TOP` most
likely words; all other words count as one, so no second pass of the base is needed. That sum is never more
than the whole divergence (the data processing inequality). The penalty is that of Learning without Forgetting
(Li and Hoiem 2016, arXiv 1606.09282); texts that the base wrote itself need no data set (Huang et al. 2024,
arXiv 2403.01244).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rung import storage
from rung.compute import head
from rung.compute.ends import Below, states_at
from rung.compute.passes import tree_of
from rung.records import Rendered
from rung.train.loss import learned, learned_states, targets

TOP = 64  # words whose probability is kept for a token
_PASS_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class General:
    """General texts, and what the base thinks of their learned tokens."""

    rows: tuple[Rendered, ...]
    words: tuple[Tensor, ...]  # for each row (its learned tokens, TOP): the most likely words
    logs: tuple[Tensor, ...]  # for each row (its learned tokens, TOP): their log-probabilities, fp32

    @classmethod
    def of(cls, model: PreTrainedModel, rows: Sequence[Rendered]) -> General:
        """Reads `rows` with the plain base; nothing may be attached to it."""
        words: dict[int, Tensor] = {}
        logs: dict[int, Tensor] = {}
        with torch.inference_mode():
            for some, sizes, states, _ in learned_states(model, rows, _PASS_TOKENS):
                for i, part in zip(some, torch.split(states, sizes), strict=True):
                    found = head.target_logits(model, part).float().log_softmax(-1).topk(TOP)
                    words[i], logs[i] = found.indices.clone(), found.values.clone()
        every = range(len(rows))
        return cls(tuple(rows), tuple(words[i] for i in every), tuple(logs[i] for i in every))


@dataclass(frozen=True, slots=True)
class Keep:
    """How strongly the base is kept, and how much of it is looked at."""

    general: General
    weight: float = 0.0  # of the divergence
    replay: float = 0.0  # of the loss of the texts themselves
    share: float = 0.1  # of a training's tokens are of general texts, about
    seed: int = 0

    def on(self) -> bool:
        """Whether it changes anything."""
        return bool(self.general.rows) and (self.weight > 0 or self.replay > 0)

    def applied(self) -> dict[str, Any]:
        """The settings as used, for the record of the run."""
        return {
            "kl_penalty": self.weight,
            "replay": self.replay,
            "general_share": self.share,
            "general_texts": len(self.general.rows),
        }

    def facts(self) -> dict[str, Any]:
        """What decides its part in the weights, as JSON values."""
        rows = [[row.ids, row.mask] for row in self.general.rows]
        values = {"weight": self.weight, "replay": self.replay, "share": self.share, "seed": self.seed}
        return {"keep": values | {"texts": storage.fingerprint(rows)}}

    def texts_of(self, step: int, tokens: int) -> tuple[list[int], float]:
        """The texts that step `step` (from 0) with about `tokens` tokens reads, and what they weigh.

        Every text has its turn, in another order each time. Where a step has too few tokens for one text,
        one is read every few steps, and weighs so much more.
        """
        every = len(self.general.rows)
        each = sum(len(row.ids) for row in self.general.rows) / every
        wanted = self.share * tokens / each
        pause = max(1, round(1 / wanted))
        if step % pause:
            return [], 0.0
        count = min(every, max(1, round(wanted)))
        found = []
        for place in range(step // pause * count, (step // pause + 1) * count):
            turn, at = divmod(place, every)
            found.append(_order(self.seed + turn, every)[at])
        return found, float(pause)

    def loss(self, model: PreTrainedModel, some: Sequence[int], below: Below | None = None) -> Tensor:
        """Mean over the learned tokens of the texts `some`, with gradient: a scalar."""
        return self.with_rows(model, (), some, below)[1]

    def with_rows(
        self,
        model: PreTrainedModel,
        rows: Sequence[Rendered],
        some: Sequence[int],
        below: Below | None = None,
    ) -> tuple[Tensor, Tensor]:
        """`rung.train.loss.pack_loss` of `rows`, and `loss` of the texts `some`, of one pass over both."""
        general = [self.general.rows[i] for i in some]
        ids = [row.ids for row in (*rows, *general)]
        tree = tree_of(model, ids)
        found = targets(tree, rows)
        device, split = model.device, len(found)
        pairs = torch.tensor(list(found), dtype=torch.long, device=device).view(-1, 2)  # (N, 2)
        counts = torch.tensor(list(found.values()), dtype=torch.float32, device=device)  # (N,)
        places, tokens = learned(tree, general, len(rows))
        at, said = (torch.tensor(x, dtype=torch.long, device=device) for x in (places, tokens))  # (n,)
        hidden = states_at(model, tree, ids, torch.cat([pairs[:, 0], at]), below)  # (N + n, d)
        task = head.loss_sum(model, hidden[:split], pairs[:, 1], counts)
        kept = torch.zeros((), device=device)
        if self.weight > 0:
            words = torch.cat([self.general.words[i] for i in some])  # (n, TOP)
            logs = torch.cat([self.general.logs[i] for i in some])  # (n, TOP)
            kept = kept + self.weight * head.divergence_sum(model, hidden[split:], words, logs)
        if self.replay > 0:
            kept = kept + self.replay * head.loss_sum(model, hidden[split:], said)
        return task, kept / len(places)


def _order(seed: int, count: int) -> list[int]:
    order = list(range(count))
    random.Random(seed).shuffle(order)
    return order
