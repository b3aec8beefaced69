"""Every rule, by answers worked out by hand: one that follows it and one that nearly does."""

from typing import Any

import pytest

from rung.errors import UsageError
from rung.evaluation.answer_rules import RULES, follows

CASES: list[tuple[str, Any, list[str], list[str]]] = [
    ("is", ["Madrid"], ["Madrid", "madrid.", ' "Madrid." '], ["The capital is Madrid.", "Madrids"]),
    ("is", ["small", "little"], ["Little"], ["small, little"]),
    ("is", ["The cat sat."], ["the cat sat"], ["The cat sat. It slept."]),
    ("is_exactly", ["RIVER"], ["RIVER", "RIVER."], ["River", "A RIVER"]),
    ("contains", ["dog", "park"], ["A Dog in the park."], ["A dog.", "Dogs in the park"]),
    ("contains", ["hello|hi", "Ann"], ["Hi Ann!", "Hello, Ann."], ["Hey Ann", "This is Ann"]),
    ("contains", ["t'aime"], ["Je t'aime."], ["Je m'aime."]),
    ("contains_exactly", ["I LIKE TEA"], ["I LIKE TEA."], ["I like tea", "I LIKE TEAS"]),
    ("without", ["yellow"], ["A sour fruit", "yellowish"], ["It is Yellow."]),
    (
        "choice",
        {"options": ["yes", "no"], "right": "no"},
        ["No.", "no, never"],
        ["yes", "yes and no", "nope"],
    ),
    ("begins", "Sure", ['"Sure, I can', "sure"], ["Surely not", "I am sure"]),
    ("begins", "In my opinion", ["In my opinion, yes"], ["In my opinions"]),
    ("ends", "?", ["Who?", '"Who?"'], ["Who? Me.", "Who?!"]),
    ("ends", "Goodbye", ["Green. Goodbye!", 'Green. "goodbye."'], ["Goodbye to you", "Nogoodbye"]),
    ("ends", "!", ["Stop!"], ["Stop."]),
    ("upper", True, ["STOP 1!"], ["STOp", "123"]),
    ("lower", True, ["stop 1"], ["Stop", "1"]),
    ("lines", 2, ["a\nb", "a\n\nb\n"], ["a", "a\nb\nc"]),
    ("most_words", 3, ["Yes", "It's a well-known"], ["one two three four", "..."]),
    ("most_sentences", 1, ["One here.", "One here", "It costs 2.50 here!"], ["One. Two.", "One. Two", "..."]),
    ("pattern", r"7\.?", ["7", " 7. "], ["7 days", "17"]),
    ("number", 7, ["3 + 4 = 7", "7.", "7.0"], ["7 or 8", "seven", "-7", "17"]),
    ("number", 1200, ["It is 1,200."], ["It is 1.200."]),
    ("number", 2.5, ["2.5"], ["25", "v2.5"]),
    (
        "json",
        {"city": "Rome"},
        ['{"city": "Rome"}', 'Here:\n```json\n{"city": "Rome", "x": 1}\n```\nDone.'],
        ['{"city": "Paris"}', '"Rome"', "city: Rome", '["city"]', '{"city": "Rome"} Done.'],
    ),
    ("json", {"year": None}, ['{"year": 3}', '{"year": null}'], ['{"Year": 3}', "{}"]),
]


@pytest.mark.parametrize(("name", "argument", "good", "bad"), CASES)
def test_a_rule(name: str, argument: Any, good: list[str], bad: list[str]) -> None:
    assert [text for text in good if not follows({name: argument}, text)] == []
    assert [text for text in bad if follows({name: argument}, text)] == []


def test_every_rule_has_a_case() -> None:
    assert {name for name, *_ in CASES} == set(RULES)


def test_all_rules_of_an_item_must_hold() -> None:
    rules = {"begins": "Where", "ends": "?"}
    assert follows(rules, "Where is it?")
    assert not follows(rules, "Where it is.")
    assert not follows(rules, "Who is it?")


def test_an_empty_answer_follows_no_rule() -> None:
    assert not follows({"without": ["yellow"]}, "  \n")


def test_a_rule_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="no rule is called 'lenght'"):
        follows({"lenght": 3}, "a")
    with pytest.raises(UsageError, match="without a rule"):
        follows({}, "a")
