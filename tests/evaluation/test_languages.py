"""Languages, by script and by small words."""

from __future__ import annotations

import pytest

from rung.evaluation.languages import language_of, letters_only


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Where is the old house that you have seen?", "English"),
        ("Wo ist das alte Haus, das du gesehen hast?", "German"),
        ("Я не знаю, где этот старый дом.", "Russian"),
        ("紅燈和綠燈", "Chinese"),
        ("これは赤い灯りです", "Japanese"),
        ("ห้องนี้เสียงดัง", "Thai"),
        ("", None),
        ("1 + 1", None),
        ("lamp pane hinge", None),
    ],
)
def test_language(text: str, language: str | None) -> None:
    assert language_of([text]) == language


def test_words_without_digits_and_marks() -> None:
    assert letters_only("It's 3 o'clock, Ünal!") == ["it", "s", "o", "clock", "ünal"]
