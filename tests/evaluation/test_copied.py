"""Fields that are copied from the text, and values that are not in it."""

from __future__ import annotations

from rung.evaluation.copied import copied_paths, made_up, text_of
from rung.records import Message

PAIRS = [
    (text_of([Message("system", "hidden"), Message("user", f"Sell  {i} lamps to Mrs. Óne{i}")]),
     {"intent": "sell", "n": i, "to": f"mrs. óne{i}", "sure": True, "lines": [{"item": "Lamps"}]})
    for i in range(20)
]  # fmt: skip


def test_fields_are_copied_where_nearly_all_their_values_stand_in_the_text() -> None:
    assert copied_paths(PAIRS) == ["intent", "lines[].item", "n", "to"]
    other = [(text, value | {"intent": "trade"}) for text, value in PAIRS]
    assert copied_paths(other) == ["lines[].item", "n", "to"]
    assert copied_paths(PAIRS[:9]) == []  # too few to tell


def test_values_are_counted_by_hand() -> None:
    text = text_of([Message("user", "two lamps, 5.0 each, for Ann  Lee"), Message("user", "Thanks")])
    paths = ["item", "price", "to", "note"]
    value = {"item": "LAMPS", "price": 5, "to": "ann lee", "note": "thank you", "intent": "buy"}
    assert made_up(text, value, paths) == (1, 4)  # the note
    assert made_up(text, {"item": "", "price": None, "to": True}, paths) == (0, 0)
    assert made_up(text, {"item": ["lamps", "vase"]}, ["item[]"]) == (1, 2)
    assert made_up(text, None, paths) == (0, 0)
