"""When two labels are one."""

from __future__ import annotations

import pytest

from rung.evaluation.labels import equal_label, is_number, plain_text, spelling


def test_spelling() -> None:
    assert spelling(" Cafe\u0301\u00a0noir ") == "Café noir"
    assert plain_text("−1 ❤\ufe0f") == "-1 ❤"


@pytest.mark.parametrize(
    ("text", "labels", "label"),
    [
        ("POSITIVE", ("positive",), "positive"),
        ("“Card-Arrival”.", ("card_arrival", "card_payment"), "card_arrival"),
        ("Us", ("US", "us"), None),
        ("us", ("US", "us"), "us"),
        ("1.0", ("1", "0"), "1"),
        ("1", ("1.0", "0.0"), "1.0"),
        ("+1", ("1", "-1"), "1"),
        ("-1", ("1", "0"), None),
        ("−1", ("1", "-1"), "-1"),
        ("5", ("0.5", "1"), None),
        (".5", ("5", "0.5"), "0.5"),
        ("(.5)", ("5", "1"), None),
        ("5.", ("5", "0.5"), "5"),
        ("1", ("1.0", "1.00"), None),
        (">50K", ("<=50K", ">50K"), ">50K"),
        ("<50K", ("<=50K", ">50K"), None),
        ("level -1.", ("level 1", "level 2"), None),
        ("负面。", ("正面", "负面"), "负面"),
        ("❤", ("❤\ufe0f", "💔"), "❤\ufe0f"),
        ("...", ("a", "b"), None),
    ],
)
def test_equal_labels(text: str, labels: tuple[str, ...], label: str | None) -> None:
    assert equal_label(text, labels) == label


def test_numbers() -> None:
    assert all(map(is_number, ("0", "1.0", "-1", "−1", "+2", ".5", " 3 ")))
    assert not any(map(is_number, ("", "1 star", "1e3", "a", "1,5", "٣")))
