"""Rows that are decoded together, one token a row and step.

They may use different adapters (`rung.compute.by_row`). Then they have no common prefix: what the prompts of
one adapter begin with is read once, and its keys and values become columns of each of its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

import torch
from torch import Tensor

from rung.bases.base import Base
from rung.compute.attention import Packed, Prefix
from rung.compute.body import hidden_states
from rung.compute.by_row import ByRow
from rung.compute.head import target_logits
from rung.compute.passes import Pass
from rung.generate.cache import BLOCK, COPIED, Decode, Ids, common_prefix, prefill, read_prefix
from rung.generate.checks import check_finite
from rung.generate.grammars import Guide, Hold
from rung.methods.slots import slots_of

# What is called with prompts as they are read: which they are, their pack, the hidden states (rows, d) of
# their last tokens, and the prefix that comes before each.
Read = Callable[[Sequence[int], Packed, Tensor, Prefix | None], None]


@dataclass(slots=True)
class Row:
    """One prompt, and what is written after it."""

    index: int
    prompt: tuple[int, ...]
    limit: int  # new tokens at most
    slot: str | None = None  # of its adapter, where rows may have different ones
    shared: int = 0  # tokens at its beginning that are in `prefix`
    prefix: Prefix | None = None  # what was read once for it and others
    ids: list[int] = field(default_factory=list)
    stop: int | None = None  # the stop token, once it has come
    hold: Hold | None = None  # its place in a grammar, where it keeps to one

    @property
    def done(self) -> bool:
        return self.stop is not None or len(self.ids) >= self.limit

    def again(self) -> Row:
        """The row with nothing written."""
        self.shared, self.prefix, self.stop = 0, None, None
        self.ids.clear()
        self.hold = self.hold.again() if self.hold is not None else None
        return self

    @property
    def tail(self) -> Ids:
        """The prompt after the prefix."""
        return self.prompt[self.shared :]


@dataclass(frozen=True, slots=True)
class How:
    """What rows are written with."""

    stop_ids: frozenset[int]
    sampler: Callable[[Tensor], Tensor] | None = None  # logits (B, vocabulary) -> tokens (B,); None: greedy
    on_read: Read | None = None


class Batch:
    """Finished rows stay, without effect, until the next `admit`."""

    def __init__(self, base: Base, rows: Sequence[Row], how: How) -> None:
        """`rows` are all that are going to be admitted."""
        self.base = base
        self.how = how
        self.rows: list[Row] = []
        self.active = 0
        self._last = torch.zeros(0, dtype=torch.long, device=base.device)  # (B,) not yet read by the model
        found = {row.slot for row in rows}
        self._slots = sorted(slot for slot in found if slot is not None)
        self._own = [*self._slots, *({None} & found)]  # all of them, the plain base's last
        self.mixed = len(self._own) > 1  # whether the rows have different slots
        self._by_row: ByRow | None = None  # of one token of each row
        self._guide = Guide(base, how.stop_ids) if any(row.hold for row in rows) else None
        for slot in self._own:
            self._share([row for row in rows if row.slot == slot])
        prefix = rows[0].prefix if rows and not self.mixed else None
        self.layout = Decode(prefix if prefix and prefix.length > COPIED else None)

    def columns(self, row: Row) -> int:
        """How many columns a row takes at most."""
        copied = row.prefix.length if row.prefix and self.layout.prefix is None else 0
        return copied + len(row.tail) + row.limit

    def admit(self, rows: Sequence[Row]) -> None:
        """Drop finished rows, read the prompts of new ones and write their first tokens."""
        keep = [i for i, row in enumerate(self.rows) if not row.done]
        last = [self._last[keep]]
        stay = [self.rows[i] for i in keep]
        packs = []
        if self._guide is not None:
            self._guide.look(rows)
        for group, packed, states in self._read(rows):
            tokens = self._write(states, group)
            # an answer may end with its first token
            chosen = [j for j, row in enumerate(group) if not row.done]
            packs.append((packed, chosen))
            last.append(tokens[chosen])
            stay += [group[j] for j in chosen]
        left = max((row.limit - len(row.ids) for row in stay), default=0)
        self.layout.change(keep, packs, room=min(left, BLOCK))
        self.rows = stay
        self.active = len(stay)
        self._last = torch.cat(last)
        self._by_row = self._spread(stay, range(len(stay)), [1] * len(stay)) if self.mixed else None

    def step(self) -> None:
        """One more token for every row."""
        if self._guide is not None:
            self._guide.look(self.rows)
        at = self.layout.open()
        one = Pass(self._last[:, None], at, self.layout, rows=self._by_row)
        self._last = self._write(hidden_states(self.base.model, one), self.rows)  # states (B, d)
        self.active = sum(not row.done for row in self.rows)

    def _share(self, rows: Sequence[Row]) -> None:
        """Read once what the prompts of one slot begin with."""
        prompts = [row.prompt for row in rows]
        shared = common_prefix(prompts)
        with self._on(rows[0]):
            prefix = read_prefix(self.base, prompts[0][:shared] if shared else ())
        for row in rows:
            row.shared, row.prefix = shared, prefix

    def _read(self, rows: Sequence[Row]) -> Iterator[tuple[Sequence[Row], Packed, Tensor]]:
        """Read prompts; yields those of each pass with its layout and the last states (rows, d)."""
        for _, part in groupby(sorted(rows, key=self._apart), self._apart):
            some = list(part)
            prefix, tails = some[0].prefix, [row.tail for row in some]
            alone = len({row.slot for row in some}) == 1
            at = 0
            with self._on(some[0]) if alone else nullcontext():
                for packed, states in prefill(
                    self.base, tails, prefix, None if alone else partial(self._spread, some)
                ):
                    group = some[at : at + len(packed.lengths)]
                    at += len(group)
                    if self.how.on_read is not None:
                        self.how.on_read([row.index for row in group], packed, states, prefix)
                    yield group, packed, states

    def _apart(self, row: Row) -> int:
        """The same number for rows whose prompts can be read in one pass."""
        return -1 if row.prefix is None else self._own.index(row.slot)

    def _on(self, row: Row) -> AbstractContextManager[None]:
        """The adapter of `row` answers, where rows have different ones."""
        return slots_of(self.base.model).using(row.slot) if self.mixed else nullcontext()

    def _spread(self, rows: Sequence[Row], some: Sequence[int], lengths: Sequence[int]) -> ByRow:
        """The slots of some of the rows, which have so many tokens in a pass."""
        return ByRow.spread(self._slots, [rows[i].slot for i in some], lengths, self.base.device)

    def _write(self, states: Tensor, rows: Sequence[Row]) -> Tensor:
        """The next tokens (B,) after hidden states (B, d), noted in the rows that are not done."""
        logits = target_logits(self.base.model, states)  # (B, vocabulary)
        best, tokens = logits.max(-1)  # (B,) each
        check_finite(self.base, best)
        if self._guide is not None:
            tokens = self._guide.choose(rows, logits, tokens, self.how.sampler)
        elif self.how.sampler is not None:
            tokens = self.how.sampler(logits)
        for row, token in zip(rows, tokens.tolist(), strict=True):
            if row.done:
                continue
            if token in self.how.stop_ids:
                row.stop = token
            else:
                row.ids.append(token)
        return tokens
