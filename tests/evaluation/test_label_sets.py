"""Sets of labels in answers: what is read and what is not."""

from __future__ import annotations

import pytest

from rung.evaluation.call_grammar import takes
from rung.evaluation.label_sets import grammar_of_sets, read_labels

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


def test_a_grammar_takes_each_label_once_and_in_order() -> None:
    grammar = grammar_of_sets(LABELS, "; ", 3, False)
    for good in ("joy", "bed and breakfast", "joy; fear", "joy; love; bed and breakfast", "\nlove; fear\n"):
        assert takes(grammar, good)
        assert read_labels(good, LABELS, "; ") == good.strip().split("; ")
    for bad in (
        *("joy; joy", "love; joy", "joy; rage", "joy;love", "joy; ", "none", "", "bed", "Joy", "joy."),
        "joy; love; fear; bed and breakfast",
    ):
        assert not takes(grammar, bad)
    assert takes(grammar_of_sets(LABELS, "; ", 3, True), "none")


def test_a_grammar_of_labels_in_a_json_list() -> None:
    grammar = grammar_of_sets(('a "b"', "c, d", "é"), "", 3, True)
    for good in ('["a \\"b\\"", "c, d", "é"]', '["é"]', "[]"):
        assert takes(grammar, good)
    for bad in ('["é", "c, d"]', '["e"]', "é", "none", '["c, d"'):
        assert not takes(grammar, bad)


def test_a_grammar_of_many_labels() -> None:
    labels = tuple(f"label {i}" for i in range(200))
    grammar = grammar_of_sets(labels, "|", 20, False)
    assert takes(grammar, "|".join(labels[::10]))
    assert takes(grammar, "label 199")
    assert not takes(grammar, "|".join(labels[:21]))
    assert takes(grammar_of_sets(("one",), ", ", 1, False), "one")
