"""Frames: what all texts of a file begin and end with."""

from __future__ import annotations

import pytest

from rung.evaluation.frame import Frame


@pytest.mark.parametrize(
    ("texts", "inside"),
    [
        (["Translate: the cat", "Translate: the dog"], ["cat", "dog"]),
        (["good film (answer now)", "bad film (answer now)"], ["good ", "bad "]),
        (["thermal", "then"], ["thermal", "then"]),
        (["same", "same"], ["same", "same"]),
        (["a b", "a b c"], ["b", "b c"]),
        (["x y", "x y x y"], ["y", "y x y"]),
        (["", "a"], ["", "a"]),
    ],
)
def test_frame(texts: list[str], inside: list[str]) -> None:
    frame = Frame.around(texts)
    assert [frame.inside(text).strip() for text in texts] == [text.strip() for text in inside]


def test_a_text_without_the_frame_stays_as_it_is() -> None:
    frame = Frame.around(["Say: a", "Say: b"])
    assert frame == Frame("Say: ")
    assert frame.inside("Tell: c") == "Tell: c"
