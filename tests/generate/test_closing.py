"""The way in which an answer is completed."""

from __future__ import annotations

import json

import pytest

from rung.compute.load import tiny
from rung.evaluation.json_grammar import Style, grammar_of
from rung.evaluation.schema import learn
from rung.generate.closing import RESERVE, closing
from rung.generate.grammars import Grammars

ROWS = [
    {"kind": ("bill", "note")[i % 2], "to": f"n {i}", "lines": [{"item": f"i {i}", "n": i}] * (i % 3)}
    for i in range(60)
]


def ending(written: str, next_text: str = "") -> str | None:
    """What completes `written`, of the form of `ROWS`, after the first token of `next_text`."""
    known = Grammars.of(tiny())
    hold = known.hold(grammar_of(learn(ROWS), Style()))
    assert hold is not None
    assert hold.matcher.consume_tokens(known.tokens.tokenize_str(written))
    following = known.tokens.tokenize_str(next_text)[0] if next_text else None
    found = closing(hold.matcher, known.tokens, following)
    return None if found is None else known.tokens.decode_str(found)


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ('{"kind": "bill", "to": "x", "lines": []}', ""),
        ('{"kind": "bill", "to": "x", "lines": [', "]}"),
        ('{"kind": "bill", "to": "x", "lines": [{"item": "a b', '", "n": 0}]}'),
        ('{"kind": "bill", "to": "x", "lines": [{"item": "a", "n": 12', "}]}"),
        ('{"kind": "bill", "to": "it\\\\"s', '", "lines": []}'),
        ('{"kind": "n', 'ote", "to": "", "lines": []}'),
    ],
)
def test_what_is_open_is_closed_and_what_is_required_is_written(written: str, wanted: str) -> None:
    written = written.replace("\\\\", "\\")
    found = ending(written)
    assert found == wanted or (found is None and len(wanted) > RESERVE)
    if found is not None:
        json.loads(written + found)


def test_a_token_that_is_not_allowed_completes_nothing() -> None:
    whole = '{"kind": "bill", "to": "x", "lines": ['
    assert ending(whole, "x") is None
    assert ending(whole, "]") == "}"


def test_a_way_that_is_too_long_is_none() -> None:
    assert ending("") is None
