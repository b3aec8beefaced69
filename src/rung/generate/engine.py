"""Batched decoding: many prompts at once, their common prefix read once, no padding where it costs.

Prompts are read longest first in packed passes; up to `rows` of them are then decoded together, one token a
row and step. A row that has finished leaves, and the next prompts take its place, when a quarter of the
places are free. What a row says does not depend on the other rows (up to rounding), nor on their adapters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from rung.bases.base import Base
from rung.compute.by_row import NotByRow
from rung.errors import UsageError
from rung.generate.batch import Batch, How, Read, Row
from rung.generate.cache import Ids
from rung.generate.checks import check_prompts, context_left, evaluating, places_for
from rung.generate.grammars import Grammars
from rung.methods.slots import slots_of

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Generated:
    """What was written after one prompt, without the stop token."""

    ids: tuple[int, ...]
    stop: int | None = None  # the stop token that ended it; None where the limit came first
    altered: bool = False  # a grammar kept the model from a token that it preferred

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
        slots: Sequence[str | None] | None = None,
        grammars: Sequence[str] | None = None,
    ) -> list[Generated]:
        """Continue every prompt until a stop token, `max_new_tokens`, or the end of the base's context.

        `sampler` maps logits (B, vocabulary) to tokens (B,); greedy without one. `on_progress(done, total)`
        counts rows. `on_read` sees every prompt when it has been read. The order of the prompts is kept.

        `slots` says which adapter answers each prompt (None: the plain base); without it, the one that is on
        answers all. Rows with different adapters are decoded together where these change linear layers alone
        and the base's layers read all tokens of a pass; else one adapter's rows come after the other's.

        `grammars` says what each answer keeps to (`rung.generate.grammars`); an empty one allows everything.
        An answer that its grammar never touched (`Generated.altered`) is the one that is written without.

        Raises `UsageError` for a slot that is not there or a grammar that cannot be read, `DataError` for a
        prompt that is empty or leaves no room in the context, `BaseModelError` where logits are not finite or
        the base's tokens fit no grammar.
        """
        if max_new_tokens < 1:
            raise UsageError(f"max_new_tokens is {max_new_tokens}", fix="Give 1 or more")
        if slots is not None and len(slots) != len(prompts):
            raise UsageError(f"{len(slots)} slots for {len(prompts)} prompts", fix="Give one for each prompt")
        if grammars is not None and len(grammars) != len(prompts):
            what = f"{len(grammars)} grammars for {len(prompts)} prompts"
            raise UsageError(what, fix="Give one for each prompt")
        contexts = self._contexts(len(prompts), slots)
        check_prompts(prompts, contexts, room=1)
        rows = [
            Row(i, tuple(prompt), min(max_new_tokens, contexts[i] - len(prompt)), slots[i] if slots else None)
            for i, prompt in enumerate(prompts)
        ]
        if grammars is not None and any(grammars):
            known = Grammars.of(self.base)
            for row, grammar in zip(rows, grammars, strict=True):
                row.hold = known.hold(grammar)

        def progress() -> None:
            if on_progress:
                on_progress(sum(row.done for row in rows), len(rows))

        write = partial(self._write, how=How(frozenset(stop_ids), sampler, on_read), progress=progress)
        with torch.inference_mode(), evaluating(self.base.model):
            if slots is None:
                write(rows)
            else:
                self._by_slot(rows, write)
        return [
            Generated(tuple(row.ids), row.stop, row.hold is not None and row.hold.altered) for row in rows
        ]

    def _by_slot(self, rows: Sequence[Row], write: Callable[[Sequence[Row]], None]) -> None:
        """Write every row with its own adapter, and as many adapters together as can be."""
        held = slots_of(self.base.model)
        for group in held.together([row.slot for row in rows]):
            some = [rows[i] for i in group]
            own = dict.fromkeys(row.slot for row in some)
            if len(own) > 1:
                with suppress(NotByRow), held.using(None):
                    write(some)
                    continue
            for slot in own:
                with held.using(slot):
                    write([row.again() for row in some if row.slot == slot])

    def _write(self, rows: Sequence[Row], how: How, progress: Callable[[], None]) -> None:
        """Write rows with different adapters together, or all with the one that is on."""
        batch = Batch(self.base, rows, how)
        places = min(self.rows, places_for(self.base, max(map(batch.columns, rows), default=0)))
        queue = deque(sorted(rows, key=lambda row: -len(row.tail)))
        left = len(rows)
        while queue or batch.active:
            free, finished = places - batch.active, len(batch.rows) - batch.active
            if (queue and 4 * free >= places) or 4 * finished >= len(batch.rows):
                batch.admit([queue.popleft() for _ in range(min(free, len(queue)))])
            if batch.rows:
                batch.step()
            now = len(queue) + batch.active
            if now != left:
                progress()
            left = now

    def _contexts(self, prompts: int, slots: Sequence[str | None] | None) -> list[int]:
        """Tokens that fit into the context of each prompt's adapter."""
        if slots is None:
            return [context_left(self.base)] * prompts
        found = {}
        for slot in dict.fromkeys(slots):
            with slots_of(self.base.model).using(slot):
                found[slot] = context_left(self.base)
        return [found[slot] for slot in slots]
