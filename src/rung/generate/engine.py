"""Batched decoding: many prompts at once, their common prefix read once, no padding where it costs.

Prompts are read longest first in packed passes; up to `rows` of them are then decoded together, one token a
row and step. A row that has finished leaves, and the next prompts take its place, when a quarter of the
places are free. What a row says does not depend on the other rows (up to rounding).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rung.bases.base import Base
from rung.compute.attention import Packed, Prefix
from rung.compute.body import hidden_states
from rung.compute.head import target_logits
from rung.compute.lead import lead_of
from rung.compute.passes import Pass
from rung.errors import BaseModelError, DataError, UsageError
from rung.generate.cache import BLOCK, COPIED, Decode, Ids, common_prefix, prefill, read_prefix

Progress = Callable[[int, int], None]
# What is called with prompts as they are read: which they are, their pack, the hidden states (rows, d) of
# their last tokens, and the prefix that comes before each.
Read = Callable[[Sequence[int], Packed, Tensor, Prefix | None], None]
CACHE_BYTES = 2**30  # keys and values of the rows decoded together, about


@dataclass(frozen=True, slots=True)
class Generated:
    """What was written after one prompt, without the stop token."""

    ids: tuple[int, ...]
    stop: int | None = None  # the stop token that ended it; None where the limit came first

    @property
    def truncated(self) -> bool:
        """The limit came before a stop token."""
        return self.stop is None


class Engine:
    """Generates text with one base and any adapter that is attached to it."""

    def __init__(self, base: Base, rows: int = 64) -> None:
        if rows < 1:
            raise UsageError(f"{rows} rows cannot be decoded together", fix="Give 1 or more")
        self.base = base
        self.rows = rows

    def generate(
        self,
        prompts: Sequence[Ids],
        *,
        max_new_tokens: int,
        stop_ids: Collection[int],
        sampler: Callable[[Tensor], Tensor] | None = None,
        on_progress: Progress | None = None,
        on_read: Read | None = None,
    ) -> list[Generated]:
        """Continue every prompt until a stop token, `max_new_tokens`, or the end of the base's context.

        `sampler` maps logits (B, vocabulary) to tokens (B,); greedy without one. `on_progress(done, total)`
        counts rows. `on_read` sees every prompt when it has been read. The order of the prompts is kept.
        Raises `DataError` for a prompt that is empty or leaves no room in the context, `BaseModelError` where
        logits are not finite.
        """
        if max_new_tokens < 1:
            raise UsageError(f"max_new_tokens is {max_new_tokens}", fix="Give 1 or more")
        context = context_left(self.base)
        check_prompts(prompts, context, room=1)
        ids = [tuple(prompt) for prompt in prompts]
        rows = [_Row(i, min(max_new_tokens, context - len(p))) for i, p in enumerate(ids)]
        with torch.inference_mode(), evaluating(self.base.model):
            shared = common_prefix(ids)
            prefix = read_prefix(self.base, ids[0][:shared] if shared else ())
            tails = [prompt[shared:] for prompt in ids]
            before = prefix.length if prefix else 0  # of it, `shared` tokens are part of the prompts
            longest = max((len(prompt) for prompt in ids), default=0) - shared
            columns = longest + max_new_tokens + (before if before <= COPIED else 0)
            places = min(self.rows, places_for(self.base, columns))
            batch = _Batch(self.base, prefix, frozenset(stop_ids), sampler, on_read)
            queue = deque(sorted(rows, key=lambda row: -len(tails[row.index])))
            done = 0
            while queue or batch.active:
                free, finished = places - batch.active, len(batch.rows) - batch.active
                if (queue and 4 * free >= places) or 4 * finished >= len(batch.rows):
                    newcomers = [queue.popleft() for _ in range(min(free, len(queue)))]
                    batch.admit(newcomers, [tails[row.index] for row in newcomers])
                if batch.rows:
                    batch.step()
                now = len(rows) - len(queue) - batch.active
                if on_progress and now != done:
                    on_progress(now, len(rows))
                done = now
        return [Generated(tuple(row.ids), row.stop) for row in rows]


@dataclass(slots=True)
class _Row:
    index: int
    limit: int  # new tokens at most
    ids: list[int] = field(default_factory=list)
    stop: int | None = None  # the stop token, once it has come

    @property
    def done(self) -> bool:
        return self.stop is not None or len(self.ids) >= self.limit


class _Batch:
    """Rows that are decoded together; finished ones stay, without effect, until the next `admit`."""

    def __init__(
        self,
        base: Base,
        prefix: Prefix | None,
        stop_ids: frozenset[int],
        sampler: Callable[[Tensor], Tensor] | None,
        on_read: Read | None,
    ) -> None:
        self.base = base
        self.prefix = prefix
        self.layout = Decode(prefix if prefix and prefix.length > COPIED else None)
        self.stop_ids = stop_ids
        self.sampler = sampler
        self.on_read = on_read
        self.rows: list[_Row] = []
        self.active = 0
        self._last = torch.zeros(0, dtype=torch.long, device=base.device)  # (B,) not yet read by the model

    def admit(self, rows: Sequence[_Row], tails: Sequence[Ids]) -> None:
        """Drop finished rows, read the prompts of new ones and write their first tokens."""
        keep = [i for i, row in enumerate(self.rows) if not row.done]
        last = [self._last[keep]]
        stay = [self.rows[i] for i in keep]
        packs = []
        at = 0
        for packed, states in prefill(self.base, tails, self.prefix):
            group = rows[at : at + len(packed.lengths)]
            at += len(group)
            if self.on_read is not None:
                self.on_read([row.index for row in group], packed, states, self.prefix)
            tokens = self._write(states, group)
            chosen = [
                j for j, row in enumerate(group) if not row.done
            ]  # an answer may end with its first token
            packs.append((packed, chosen))
            last.append(tokens[chosen])
            stay += [group[j] for j in chosen]
        left = max((row.limit - len(row.ids) for row in stay), default=0)
        self.layout.change(keep, packs, room=min(left, BLOCK))
        self.rows = stay
        self.active = len(stay)
        self._last = torch.cat(last)

    def step(self) -> None:
        """One more token for every row."""
        at = self.layout.open()
        states = hidden_states(self.base.model, Pass(self._last[:, None], at, self.layout))  # (B, d)
        self._last = self._write(states, self.rows)
        self.active = sum(not row.done for row in self.rows)

    def _write(self, states: Tensor, rows: Sequence[_Row]) -> Tensor:
        """The next tokens (B,) after hidden states (B, d), noted in the rows that are not done."""
        logits = target_logits(self.base.model, states)  # (B, vocabulary)
        best, tokens = logits.max(-1)  # (B,) each
        check_finite(self.base, best)
        if self.sampler is not None:
            tokens = self.sampler(logits)
        for row, token in zip(rows, tokens.tolist(), strict=True):
            if row.done:
                continue
            if token in self.stop_ids:
                row.stop = token
            else:
                row.ids.append(token)
        return tokens


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


def check_prompts(prompts: Sequence[Ids], context: int, room: int) -> None:
    """Raises `DataError` naming the first prompt that is empty or leaves less than `room` tokens."""
    for i, prompt in enumerate(prompts, start=1):
        where = f"prompt {i} of {len(prompts)}"
        if not prompt:
            raise DataError("the prompt is empty", where=where, fix="Give it at least one token")
        if len(prompt) + room > context:
            raise DataError(
                f"the prompt has {len(prompt)} tokens and needs room for {room} more",
                where=where,
                why=f"the base reads {context} tokens at most",
                fix="Shorten the row, use fewer shots, or take a base with a longer context",
            )


def places_for(base: Base, tokens: int) -> int:
    """How many rows of `tokens` tokens fit in `CACHE_BYTES`; at least one."""
    config = base.model.config.get_text_config()
    all_heads = getattr(config, "num_attention_heads", None) or 1  # a model may have none
    heads = getattr(config, "num_key_value_heads", None) or all_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // all_heads
    # keys and values of all layers, in bytes
    per_token = 2 * config.num_hidden_layers * heads * size * base.dtype.itemsize
    return max(1, CACHE_BYTES // int(per_token * max(1, tokens)))


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """The model in evaluation mode (no dropout), and back as it was."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
