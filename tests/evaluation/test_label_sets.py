"""Sets of labels in answers: what is read and what is not."""

from __future__ import annotations

import pytest

from rung.evaluation.label_sets import read_labels

LABELS = ("joy", "love", "fear", "bed and breakfast")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("joy; love", ["joy", "love"]),
        ("Love, Joy.", ["love", "joy"]),
        ("The labels are: joy and fear", ["joy", "fear"]),
        ("- joy\n- love", ["joy", "love"]),
        ("1. joy\n2. love", ["joy", "love"]),
        ('["joy", "love", "joy"]', ["joy", "love"]),
        ('Here: ["joy"] since it is nice', ["joy"]),
        ("bed and breakfast; joy", ["bed and breakfast", "joy"]),
        ("none", []),
        ("Labels: none.", []),
        ("[]", []),
        ("joy; rage", ["joy", "rage"]),  # a label that is not there counts as extra
        ('["joy", "rage"]', ["joy", "rage"]),
        ("I feel joy in this text, and not fear, I think, because of the sun", ["joy"]),
        ("who knows", None),
        ("", None),
        ("; ;", None),
    ],
)
def test_answers(text: str, found: list[str] | None) -> None:
    assert read_labels(text, LABELS, "; ") == found
