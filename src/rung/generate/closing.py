"""Ending an answer in time: what closes the text that is open when the limit comes.

A base that has not been tuned may go on for ever inside a grammar. An answer that is cut off there has no
form at all, so near its limit a row may write only what it can still close.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

RESERVE = 16  # tokens before its limit from which a row is watched
_PAIRS = {"{": "}", "[": "]", "(": ")"}


def closers(text: str) -> str:
    """The quote and the brackets that end what is open in `text`: ``"]}`` after ``{"a": ["b``."""
    still, quote, escaped = [], "", False
    for character in text:
        if escaped:
            escaped = False
        elif quote:
            escaped = character == "\\"
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in _PAIRS:
            still.append(_PAIRS[character])
        elif still and character == still[-1]:
            still.pop()
    return quote + "".join(reversed(still))


def closing(matcher: Any, tokens: Any, ids: Sequence[int], next_id: int | None = None) -> list[int] | None:
    """The ids that complete an answer of `ids`, after `next_id` where it is given; None where closers do not.

    `matcher` has read `ids` and stays where it is; `tokens` are llguidance's.
    """
    after = matcher.deep_copy()
    if next_id is not None and not after.consume_token(next_id):
        return None
    if after.is_accepting():
        return []
    written = [*ids, next_id] if next_id is not None else list(ids)
    found: list[int] = tokens.tokenize_str(closers(tokens.decode_str(written)))
    if after.validate_tokens(found) < len(found) or not after.consume_tokens(found):
        return None
    return found if after.is_accepting() else None
