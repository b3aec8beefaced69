"""What a grammar of calls takes, held against what grading reads."""

from __future__ import annotations

from collections.abc import Collection

from rung.evaluation.call_grammar import CallForm, grammar_of_calls, takes
from rung.evaluation.calls import read_calls
from rung.evaluation.offered import Offered


def is_taken(offered: Offered, text: str, form: CallForm, names: Collection[str]) -> bool:
    """Whether a text is taken; then it can also be read, and calls nothing that does not exist."""
    found = takes(grammar_of_calls(offered, form), text)
    if found:
        calls = read_calls(text, names)
        assert calls
        assert not any(map(offered.made_up, calls))
    return found
