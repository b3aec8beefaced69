"""Answers that keep to a grammar: which tokens a row may write next.

A grammar is a text in llguidance's notation (Lark with ``%json``). llguidance computes masks of tokens in a
thread of its own, without Python's lock, while the model runs. Most often the token that the model likes best
is allowed; only where it is not are the others looked at. An answer may end where its grammar is complete,
and nowhere else; near its limit it is closed where that can be done (`rung.generate.closing`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rung.bases.base import Base
from rung.border import foreign
from rung.errors import BaseModelError, UsageError
from rung.generate.closing import RESERVE, closing

if TYPE_CHECKING:
    from rung.generate.batch import Row

_WORD = 32  # bits of a word of a mask
_KNOWN: WeakKeyDictionary[Any, Grammars] = WeakKeyDictionary()
_SHOWN = 300  # characters of what is wrong with a grammar


class Hold:
    """The place of one row in its grammar."""

    def __init__(self, matcher: Any) -> None:
        self.matcher = matcher
        self.mask: NDArray[np.int32] = np.zeros(0, dtype=np.int32)  # bits of tokens that may come next
        self.altered = False  # whether the model was kept from a token that it preferred
        self.plan: list[int] | None = None  # near its limit: what closes it, where something does
        self.ending = False  # whether it is being closed

    def again(self) -> Hold:
        """At the beginning."""
        self.matcher.reset()
        self.altered, self.plan, self.ending = False, None, False
        return self

    def allows(self, token: int) -> bool:
        """Whether `token` may come next."""
        return bool(self.mask[token // _WORD] >> (token % _WORD) & 1)


class Grammars:
    """Grammars for the tokens of one base."""

    def __init__(self, base: Base) -> None:
        """Raises `BaseModelError` for a tokenizer that llguidance cannot read."""
        from llguidance.hf import from_tokenizer

        with foreign(lambda text: _refused(base, text)):
            self.tokens = from_tokenizer(base.tokenizer, n_vocab=vocabulary_of(base))
        self._first = lru_cache(maxsize=64)(self._compiled)

    @staticmethod
    def of(base: Base) -> Grammars:
        """Those of `base`, made once: the vocabulary takes a second or two."""
        if base.tokenizer not in _KNOWN:
            _KNOWN[base.tokenizer] = Grammars(base)
        return _KNOWN[base.tokenizer]

    def hold(self, grammar: str) -> Hold | None:
        """The beginning of `grammar`; None for an empty one, which allows everything.

        Raises `UsageError` for one that cannot be read.
        """
        return Hold(self._first(grammar).deep_copy()) if grammar else None

    def accepts(self, grammar: str, text: str) -> bool:
        """Whether the whole of `text` is in `grammar`."""
        matcher = self._first(grammar).deep_copy()
        tokens = self.tokens.tokenize_str(text)
        return bool(
            matcher.validate_tokens(tokens) == len(tokens) and matcher.consume_tokens(tokens)
        ) and bool(matcher.is_accepting())

    def _compiled(self, grammar: str) -> Any:
        from llguidance import LLMatcher

        matcher = LLMatcher(self.tokens, LLMatcher.grammar_from_lark(grammar), log_level=0)
        if matcher.is_error():
            raise UsageError(
                "the grammar of the answers cannot be used",
                why=str(matcher.get_error())[:_SHOWN],
                fix="Give a simpler schema, or none",
            )
        return matcher


@dataclass(frozen=True, slots=True)
class _Worker:
    """What computes masks: a thread that waits, and llguidance's own."""

    pool: ThreadPoolExecutor
    executor: Any


@lru_cache(maxsize=1)
def _worker() -> _Worker:
    from llguidance import LLExecutor

    return _Worker(ThreadPoolExecutor(1, thread_name_prefix="masks"), LLExecutor(1))


class Guide:
    """Keeps the rows of a batch to their grammars."""

    def __init__(self, base: Base, stop_ids: Collection[int]) -> None:
        self._tokens = Grammars.of(base).tokens
        vocabulary = vocabulary_of(base)
        self._words = -(-vocabulary // _WORD)
        self._stops = np.zeros(self._words, dtype=np.uint32)
        for token in stop_ids:
            if token < vocabulary:
                self._stops[token // _WORD] |= np.uint32(1 << (token % _WORD))
        self._stop_ids = frozenset(stop_ids)
        eos = base.tokenizer.eos_token_id
        self._end = eos if eos in self._stop_ids else min(self._stop_ids, default=-1)
        self._stops = self._stops.view(np.int32)
        self._job: Future[None] | None = None
        self._held: list[Hold] = []

    def look(self, rows: Sequence[Row]) -> None:
        """Begin to compute what these rows may write next. The model can run meanwhile."""
        self._held = [row.hold for row in rows if row.hold is not None and not row.done]
        if not self._held:
            return
        masks = np.zeros((len(self._held), self._words), dtype=np.int32)
        for hold, mask in zip(self._held, masks, strict=True):
            hold.mask = mask
        asked = [(hold.matcher, place) for place, hold in enumerate(self._held)]
        worker, bytes_each = _worker(), 4 * self._words
        self._job = worker.pool.submit(
            worker.executor.unsafe_compute_mask_ptr, asked, masks.ctypes.data, bytes_each, len(asked)
        )

    def choose(
        self,
        rows: Sequence[Row],
        logits: Tensor,
        tokens: Tensor,
        sampler: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """The tokens (B,) that rows write, from logits (B, vocabulary) and the likeliest `tokens` (B,).

        `look` has been called with these rows, or with more.
        """
        self._wait()
        held = [(place, row.hold) for place, row in enumerate(rows) if row.hold is not None and not row.done]
        likely = tokens.tolist()
        wrong = [(place, hold) for place, hold in held if not hold.allows(likely[place])]
        some = held if sampler is not None else wrong
        if some:
            places = [place for place, _ in some]
            masked = logits[places] + self._bias(some, logits)
            if sampler is None:
                tokens = tokens.clone()
                tokens[places] = masked.max(-1).indices
            else:
                logits = logits.clone()
                logits[places] = masked
        for _, hold in wrong:
            hold.altered = True
        if sampler is not None:
            tokens = sampler(logits)
        return self._written(rows, held, tokens)

    def _written(self, rows: Sequence[Row], held: Sequence[tuple[int, Hold]], tokens: Tensor) -> Tensor:
        """The tokens (B,) with those that close a row in time, and each row one further in its grammar."""
        chosen = tokens.tolist()
        for place, hold in held:
            token = self._in_time(rows[place], hold, chosen[place])
            if token != chosen[place]:
                hold.altered = True
                tokens = tokens.clone()
                tokens[place] = token
            if token not in self._stop_ids:
                hold.matcher.consume_token(token)
        return tokens

    def _in_time(self, row: Row, hold: Hold, token: int) -> int:
        """`token`, or the next one of what closes the row where it could not be closed after `token`."""
        left = row.limit - len(row.ids)  # this token and its stop token included
        if left > RESERVE or token in self._stop_ids or self._end < 0 or hold.matcher.is_error():
            return token
        if not hold.ending:
            after = closing(hold.matcher, self._tokens, token)
            if after is not None and 1 + len(after) < left:
                hold.plan = after
                return token
            if hold.plan is None:
                hold.plan = closing(hold.matcher, self._tokens)
            if hold.plan is None:
                return token
            hold.ending = True
        return hold.plan.pop(0) if hold.plan else self._end

    def _wait(self) -> None:
        """Until the masks are there."""
        if self._job is None:
            return
        self._job.result()
        self._job = None
        self._finish()

    def _finish(self) -> None:
        """Stop tokens are allowed in a mask where the grammar is complete, and nowhere else."""
        for hold in self._held:
            if hold.matcher.is_error():  # too much work for llguidance: the row goes on without
                hold.mask[:] = -1
            elif hold.matcher.is_accepting():
                hold.mask |= self._stops
            else:
                hold.mask &= ~self._stops
                if not hold.mask.any():  # no token of this base goes on: what the model says is taken
                    hold.mask[:] = -1

    def _bias(self, some: Sequence[tuple[int, Hold]], logits: Tensor) -> Tensor:
        """What is added to logits, (rows, vocabulary): 0 for a token that is allowed, else minus infinity."""
        words = np.stack([hold.mask for _, hold in some])
        places = torch.from_numpy(words.view(np.uint8).astype(np.int32)).to(logits.device)
        return _of_bytes(logits.dtype, logits.device)[places].flatten(1)[:, : logits.shape[-1]]


@lru_cache(maxsize=4)
def _of_bytes(dtype: torch.dtype, device: torch.device) -> Tensor:
    """(256, 8): what the bits of each byte stand for, the lowest one first; a table is faster than masks."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    table = np.where(bits == 1, 0.0, -np.inf)
    return torch.from_numpy(table).to(dtype=dtype, device=device)


def vocabulary_of(base: Base) -> int:
    """How many tokens the base scores."""
    return int(base.model.get_output_embeddings().weight.shape[0])


def _refused(base: Base, text: str) -> BaseModelError:
    return BaseModelError(
        "answers of this base cannot be kept to a grammar",
        where=base.name,
        why=f"llguidance cannot read its tokenizer: {text[:_SHOWN]}",
        fix="Take another base, or let answers be written freely",
    )
