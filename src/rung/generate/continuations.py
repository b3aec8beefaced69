"""How likely given continuations are, each after a prompt of its own, without decoding.

    logs[i] = sum over tokens t of  log p(continuation_i[t] | prompt_i, continuation_i[:t])          (nats)

`rung.generate.choose` scores the same choices after all prompts. Here every prompt has its own, as a question
with its own answers. A pass runs over the prefix tree of its rows, so what rows begin with is read once: a
system message by all of them, a question by its answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rung.bases.base import Base
from rung.compute.body import hidden_states
from rung.compute.head import target_logits
from rung.compute.passes import over_tree, tree_of
from rung.data.pack import group
from rung.errors import BaseModelError, DataError, UsageError
from rung.generate.cache import PASS_TOKENS, Ids
from rung.generate.checks import check_finite, context_left, evaluating
from rung.generate.engine import Engine

HEAD_ROWS = 256  # rows of logits at a time
END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True, slots=True)
class Continuations:
    """What was found, an entry for each row."""

    logs: NDArray[np.float64]  # (rows,) nats, at most 0
    tokens: NDArray[np.intp]  # (rows,) tokens of the continuation
    greedy: NDArray[np.bool_]  # (rows,) whether greedy decoding would write all of them

    @property
    def per_token(self) -> NDArray[np.float64]:
        """Nats a token (rows,)."""
        return np.asarray(self.logs / self.tokens)


def continuations(
    base: Base | Engine, rows: Sequence[tuple[Ids, Ids]], pass_tokens: int = PASS_TOKENS
) -> Continuations:
    """How likely the second part of each row is after its first part; `pass_tokens` are read at a time.

    Raises `DataError` for a prompt that is empty or a row that is longer than the context, `UsageError` for
    an empty continuation, `BaseModelError` where logits are not finite.
    """
    base = base.base if isinstance(base, Engine) else base
    _check(base, rows)
    ids = [(*prompt, *rest[:-1]) for prompt, rest in rows]  # nothing follows the last token
    logs = np.zeros(len(rows))
    greedy = np.ones(len(rows), dtype=np.bool_)
    with torch.inference_mode(), evaluating(base.model):
        for some in group([len(one) for one in ids], ids, range(len(rows)), pass_tokens):
            _read(base, rows, ids, some, logs, greedy)
    return Continuations(logs, np.array([len(rest) for _, rest in rows], dtype=np.intp), greedy)


def _check(base: Base, rows: Sequence[tuple[Ids, Ids]]) -> None:
    context = context_left(base)
    for i, (prompt, rest) in enumerate(rows, start=1):
        where = f"row {i} of {len(rows)}"
        if not rest:
            raise UsageError("the continuation has no tokens", where=where, fix="Leave it out")
        if not prompt:
            raise DataError("the prompt is empty", where=where, fix="Give it at least one token")
        if len(prompt) + len(rest) > context:
            raise DataError(
                f"prompt and continuation have {len(prompt) + len(rest)} tokens",
                where=where,
                why=f"the base reads {context} tokens at most",
                fix="Shorten the row, or take a base with a longer context",
            )


def _read(
    base: Base,
    rows: Sequence[tuple[Ids, Ids]],
    ids: Sequence[Ids],
    some: Sequence[int],
    logs: NDArray[np.float64],
    greedy: NDArray[np.bool_],
) -> None:
    """Read the rows `some` in one pass; add to `logs` and `greedy` (rows,)."""
    tree = tree_of(base.model, [ids[i] for i in some])
    pairs: dict[tuple[int, int], list[int]] = {}  # (place, token that follows) -> the rows that have it
    for number, i in enumerate(some):
        prompt, rest = rows[i]
        for place, token in zip(tree.places(number)[len(prompt) - 1 :], rest, strict=True):
            pairs.setdefault((place, token), []).append(i)
    places = sorted({place for place, _ in pairs})
    row_of = {place: row for row, place in enumerate(places)}
    wanted = torch.tensor(places, device=base.device)
    states = hidden_states(base.model, over_tree(base.model, tree, wanted))  # (places, d)
    source = torch.tensor([row_of[place] for place, _ in pairs], device=base.device)
    target = torch.tensor([token for _, token in pairs], device=base.device)
    owners = list(pairs.values())
    for at in range(0, len(states), HEAD_ROWS):
        logits = target_logits(base.model, states[at : at + HEAD_ROWS])  # (rows, vocabulary)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        whole, best = logits.logsumexp(-1), logits.argmax(-1)  # (rows,) each
        check_finite(base, whole)
        here = ((source >= at) & (source < at + HEAD_ROWS)).nonzero()[:, 0]  # pairs from these rows
        row, following = source[here] - at, target[here]
        found = (logits[row, following] - whole[row]).clamp_(max=0.0).double()  # rounding could exceed 0
        same = best[row] == following
        for pair, nats, hit in zip(here.tolist(), found.tolist(), same.tolist(), strict=True):
            for i in owners[pair]:
                logs[i] += nats
                greedy[i] &= hit


def start_of_text(base: Base) -> int:
    """The token that comes before a plain text, so that the text's first token can be predicted too.

    It is the bos that the tokenizer puts before a text by itself. Where it puts none, it is the token between
    documents in pretraining: `<|endoftext|>` if the base has it, else its eos, else its bos. (The bos of a
    base that was tuned to chat often opens a turn, and no plain text follows that.)
    Raises `BaseModelError` where there is none of these.
    """
    tokenizer: Any = base.tokenizer
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    ids = tokenizer("a")["input_ids"]
    if bos is not None and len(ids) > 1 and ids[0] == bos:
        return int(bos)
    for token in (tokenizer.get_vocab().get(END_OF_TEXT), eos, bos):
        if token is not None:
            return int(token)
    raise BaseModelError(
        "the tokenizer has no token that could come before a text",
        where=base.name,
        fix="Set bos_token or eos_token in the base's tokenizer_config.json",
    )


def text_row(base: Base, text: str) -> tuple[list[int], list[int]]:
    """A plain text as a row: its first part is `start_of_text`, its second all tokens of `text`."""
    tokenizer: Any = base.tokenizer
    return [start_of_text(base)], list(tokenizer(text, add_special_tokens=False)["input_ids"])
