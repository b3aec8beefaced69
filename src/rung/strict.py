"""JSON taken strictly: Python's own reader without the two liberties that hide mistakes.

Python keeps the last of two values of one key, and reads NaN and Infinity, which are not JSON.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any, NoReturn


def strict_decoder(refusal: Callable[[str, str], Exception], **more: Any) -> json.JSONDecoder:
    """A decoder that raises ``refusal(what, fix)`` for a key given twice, NaN and Infinity.

    `what` is the end of a sentence, such as "has the key 'a' twice"; `fix` says what to do. `more` goes to
    `json.JSONDecoder`; a `parse_constant` there takes the place of the refusal of NaN and Infinity.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
            raise refusal(f"has the key {twice[:40]!r} twice", "Keep one of them")
        return found

    def constant(name: str) -> NoReturn:
        raise refusal(f"holds {name}, which is not JSON", "Use null, or leave the key out")

    return json.JSONDecoder(**{"object_pairs_hook": once, "parse_constant": constant, **more})
