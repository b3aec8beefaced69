"""Any cell becomes text by one set of rules."""

from __future__ import annotations

from typing import Any

import pytest

from rung.data.strict_json import RowError, decode_line
from rung.data.values import Seen, number, text_of, truth, unpacked


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\n b ", "a\n b "),
        (None, ""),
        (3, "3"),
        (True, "true"),
        (decode_line("0.50"), "0.50"),
        (decode_line("1E3"), "1E3"),
        ({"b": 1, "a": "é"}, '{"b": 1, "a": "é"}'),
        (decode_line('{"a": 0.50}'), '{"a": 0.5}'),
        (["a", "b"], '["a", "b"]'),
        ([], "[]"),
        ([{"type": "text", "text": "a"}, {"type": "text", "value": "b"}], "ab"),
        ([{"type": "output_text", "content": "a"}], "a"),
        ([{"text": "a"}, {"text": "b"}], "ab"),
        (
            [{"type": "function", "function": {"name": "f"}}],
            '[{"type": "function", "function": {"name": "f"}}]',
        ),
    ],
)
def test_text(value: Any, text: str) -> None:
    assert text_of(value, "x") == text


def test_reasoning_is_left_out_and_counted() -> None:
    seen = Seen()
    parts = [{"type": "thinking", "text": "hm"}, {"type": "text", "text": "a"}]
    assert text_of(parts, "turn 2", seen) == "a"
    assert seen.thoughts == 1


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ([{"type": "text", "text": "a"}, {"type": "image", "url": "b"}], "a part of type 'image' in turn 1"),
        ([{"type": "text", "text": 3}], "a part of type 'text' in turn 1"),
        (b"a", "has bytes in turn 1"),
    ],
)
def test_what_has_no_text(value: Any, part: str) -> None:
    with pytest.raises(RowError, match=part):
        text_of(value, "turn 1")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ('[{"a": 1}]', [{"a": 1}]),
        ("{'a': 1}", {"a": 1}),
        ("['a', 'b']", ["a", "b"]),
        ("[INST] a [/INST]", "[INST] a [/INST]"),
        ("{a}", "{a}"),
        ("{1, 2}", "{1, 2}"),
        ("text", "text"),
        (["a"], ["a"]),
        (None, None),
    ],
)
def test_lists_and_objects_inside_text(value: Any, found: Any) -> None:
    assert unpacked(value) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [(True, True), (0, False), ("1.0", True), (" No ", False), ("yes", True), ("maybe", None), (2, None)],
)
def test_truth(value: Any, found: bool | None) -> None:
    assert truth(value) is found


@pytest.mark.parametrize(
    ("value", "found"),
    [(3, 3.0), ("-1.5", -1.5), (" 2 ", 2.0), (True, None), (None, None), ("1,5", None), ([1], None)],
)
def test_number(value: Any, found: float | None) -> None:
    assert number(value) == found
