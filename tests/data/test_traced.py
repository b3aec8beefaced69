"""Texts with an origin behave like ordinary ones, and know where each character came from."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from rung.data.traced import Span, Traced, joined, own, plain, spans, to_json, traced

OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "add": lambda t: "a " + t + " b",
    "add itself": lambda t: t + t,
    "index": lambda t: t[0] + t[-1],
    "slice": lambda t: t[1:-1] + t[:2] + t[2:],
    "characters": lambda t: [*t],
    "strip": lambda t: t.strip(),
    "strip characters": lambda t: t.strip("a\n") + t.lstrip(" ") + t.rstrip("b"),
    "split": lambda t: t.split(),
    "split at": lambda t: t.split("ab"),
    "split once": lambda t: t.split(None, 1) + t.split("a", 1),
    "split from the right": lambda t: t.rsplit(None, 1) + t.rsplit("b", 1),
    "lines": lambda t: t.splitlines() + t.splitlines(True),
    "partition": lambda t: [*t.partition("ab"), *t.rpartition(" ")],
    "replace": lambda t: t.replace("ab", " and ").replace("b", "", 1),
    "replace in an ordinary text": lambda t: Traced("x{}y{}").replace("{}", t),
    "join": lambda t: t.join(["1", "2", t]),
    "join with an ordinary text": lambda t: Traced(", ").join(["1", t, t]),
    "prefix": lambda t: t.removeprefix("a") + t.removesuffix("b"),
    "json": lambda t: to_json({"a": [t, 1], "b": t}),
    "ascii json": lambda t: to_json([t], ensure_ascii=True, indent=1),
}


def random_text(draw: random.Random) -> str:
    return "".join(draw.choice(["a", "b", "ab", " ", "\n", "\r\n", '"', "é", "\\", "🙂"]) for _ in range(12))


def flat(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [text for part in value for text in flat(part)]


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_gives_what_it_gives_for_an_ordinary_text(name: str) -> None:
    draw = random.Random(name)
    for _ in range(60):
        source = random_text(draw)
        ours, wanted = flat(OPERATIONS[name](traced(source, 3))), flat(OPERATIONS[name](source))
        assert ours == wanted
        for text in ours:
            for span in spans(text):
                piece, origin = plain(text)[span.start : span.end], source[span.first : span.last]
                assert span.source == 3
                assert piece == origin or json.loads(f'"{piece}"') == origin


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_character_of_a_message_is_taken_for_another(name: str) -> None:
    """Characters that occur nowhere else keep their origin through every operation."""
    source = "žõ ab ýß\nab ðø"
    for text in flat(OPERATIONS[name](traced(source, 0))):
        for start, end in own(text):
            assert not set(plain(text)[start:end]) & set("žõýßðø")


def test_stretches_that_come_from_no_message() -> None:
    text = joined(["<s>", traced("one", 0), " - ", traced("two", 1), "</s>"])
    assert text == "<s>one - two</s>"
    assert own(text) == [(0, 3), (6, 9), (12, 16)]
    assert spans(text) == (Span(3, 6, 0, 0, 3), Span(9, 12, 1, 0, 3))
    assert own("abc") == [(0, 3)]
    assert own(traced("abc", 0)) == own("") == []


def test_parts_that_continue_each_other_become_one_span() -> None:
    text = traced("one two", 0)
    assert spans(text[:3] + text[3:]) == (Span(0, 7, 0, 0, 7),)
    assert len(spans(text[:3] + text[4:])) == 2
    assert len(spans(text + text)) == 2


def test_what_is_not_followed_has_no_origin() -> None:
    text = traced("one", 0)
    for lost in (text.upper(), text[::-1], text.replace("", "-"), f"{text!s:5}", text.center(9)):
        assert spans(lost) == ()


def test_plain_texts_stay_plain() -> None:
    assert type(joined(["a", "b"])) is type(plain(traced("a", 0))) is str
    with pytest.raises(TypeError):
        traced("a", 0) + 1  # type: ignore[operator]
    with pytest.raises(IndexError):
        traced("a", 0)[1]


def test_an_empty_message_keeps_its_place() -> None:
    text = joined(["a", traced("", 0), "b"])
    assert spans(text) == (Span(1, 1, 0, 0, 0),)
    assert own(text) == [(0, 1), (1, 2)]
