"""Marked spans and tags become one object: type -> words."""

from __future__ import annotations

from typing import Any

import pytest

from rung.data.spans import is_spans, is_tags, span_target, tag_spans
from rung.data.strict_json import RowError

TEXT = "Ada met Bo in Hull"


@pytest.mark.parametrize(
    ("value", "target", "right"),
    [
        ([{"start": 0, "end": 3, "label": "PER"}], {"PER": ["Ada"]}, True),
        ([[8, 10, "PER"], [0, 3, "PER"], [14, 18, "LOC"]], {"PER": ["Ada", "Bo"], "LOC": ["Hull"]}, True),
        ([{"start_offset": 14, "end_offset": 18, "labels": ["LOC"]}], {"LOC": ["Hull"]}, True),
        ({"entities": [[0, 3, "PER"]]}, {"PER": ["Ada"]}, True),
        ([{"start": 0, "end": 2, "label": "PER", "text": "Ada"}], {"PER": ["Ada"]}, False),
        ([{"start": 90, "end": 92, "type": "PER", "value": "Bo"}], {"PER": ["Bo"]}, False),
        ([], {}, True),
    ],
)
def test_spans(value: Any, target: dict[str, list[str]], right: bool) -> None:
    assert span_target(value, TEXT) == (target, right)
    assert is_spans(value) is bool(target)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ([[0, 30, "PER"]], "an entity from 0 to 30 where the text has 18 characters"),
        ([[3, 3, "PER"]], "an entity from 3 to 3"),
        ([{"start": 0, "end": 3}], "lacks a start, an end or a label"),
        ([["0", "3", "PER"]], "lacks a start, an end or a label"),
    ],
)
def test_spans_that_cannot_be(value: Any, part: str) -> None:
    with pytest.raises(RowError, match=part):
        span_target(value, TEXT)


@pytest.mark.parametrize("value", ["a", [1, 2], [{"role": "user", "content": "a"}], {"start": 0}, None])
def test_what_is_no_list_of_spans(value: Any) -> None:
    assert not is_spans(value)


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        (["B-P", "I-P", "O", "B-P"], {"P": ["a b", "d"]}),
        (["B-P", "B-P", "I-P", "O"], {"P": ["a", "b c"]}),
        (["I-P", "I-Q", "O", "I-P"], {"P": ["a", "d"], "Q": ["b"]}),
        (["B-P", "E-P", "S-P", "S-Q"], {"P": ["a b", "c"], "Q": ["d"]}),
        (["B-P", "L-P", "U-Q", "O"], {"P": ["a b"], "Q": ["c"]}),
        (["O", "O", "O", "O"], {}),
    ],
)
def test_tags(tags: list[str], found: dict[str, list[str]]) -> None:
    words = ["a", "b", "c", "d"]
    assert is_tags(words, tags)
    assert tag_spans(words, tags) == found


@pytest.mark.parametrize("tags", [["O"], ["O", "O", "O", "X"], [0, 0, 1, 2], "OOOO", []])
def test_what_is_no_list_of_tags(tags: Any) -> None:
    assert not is_tags(["a", "b", "c", "d"], tags)
