"""Ending an answer in time: the shortest way that is found to complete what has been written.

A base that has not been tuned may go on for ever inside a grammar. An answer that is cut off there has no
form at all, so near its limit a row may write only what it can still complete.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

RESERVE = 32  # tokens before its limit from which a row is watched
_BRACKETS, _QUOTES, _ZERO = ("}", "]", ")"), ('"', "'"), ("0",)  # what ends something, or is a short value
_LETTER = "q"  # allowed inside a free string


def closing(matcher: Any, tokens: Any, next_id: int | None = None) -> list[int] | None:
    """The ids that complete the answer that `matcher` has read, after `next_id` where it is given.

    At every step that is a quote or a bracket where one is allowed, else what the grammar forces, else the
    first token that is allowed. None where that takes more than `RESERVE` tokens. `matcher` stays where it
    is; `tokens` are llguidance's.
    """
    after = matcher.deep_copy()
    if next_id is not None and not after.consume_token(next_id):
        return None
    found: list[int] = []
    while not after.is_accepting():
        some = _next(after, tokens)
        found += some
        if not some or len(found) > RESERVE or not after.consume_tokens(some):
            return None
    return found


def _next(matcher: Any, tokens: Any) -> list[int]:
    """One step towards the end; empty where there is none."""
    brackets, quotes, zero, letter = _closers(tokens)
    inside = matcher.validate_tokens(letter[0]) > 0
    for closer in (*quotes, *brackets, *zero) if inside else (*brackets, *quotes, *zero):
        if matcher.validate_tokens(closer) == len(closer):
            return list(closer)
    if forced := matcher.compute_ff_tokens():
        return list(forced)
    mask = matcher.compute_bitmask()
    return next(
        ([8 * place + bit] for place, byte in enumerate(mask) for bit in range(8) if byte >> bit & 1), []
    )


@lru_cache(maxsize=8)
def _closers(tokens: Any) -> tuple[tuple[list[int], ...], ...]:
    groups = (_BRACKETS, _QUOTES, _ZERO, (_LETTER,))
    return tuple(tuple(tokens.tokenize_str(closer) for closer in group) for group in groups)
