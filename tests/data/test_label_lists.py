"""Several labels in one cell: which separators are believed, and how sets are read and written."""

from __future__ import annotations

import pytest

from rung.data.label_lists import LIST, counted_with, found_in, items, listed, parts, says_none, written

SETS = [["cat"], ["cat", "dog"], ["dog"], ["bird", "cat", "dog"], ["bird"]] * 6


@pytest.mark.parametrize("joint", ["; ", ";", "|", " | ", ", "])
def test_separators_of_labels_that_recombine(joint: str) -> None:
    more = [["bird", "dog"], ["bird", "cat"]] * 4  # a comma needs three sets
    found = found_in([joint.join(one) for one in [*SETS, *more]])
    assert found is not None
    assert (found.joint, found.several, found.without) == (joint, 20, 0)
    assert found.counts == {"cat": 22, "dog": 22, "bird": 20}


def test_json_lists() -> None:
    found = found_in(['["a", "b"]', '["b"]', "[]", '["a"]'] * 5)
    assert found is not None
    assert (found.joint, found.counts, found.several, found.without) == (LIST, {"a": 10, "b": 10}, 5, 5)
    assert found_in(['["a"]', '["b"]'] * 5) is None  # one label each
    assert found_in([f'["k{i}", "l{i}"]' for i in range(20)]) is None  # never again
    assert found_in(['[{"a": 1}]'] * 20) is None


@pytest.mark.parametrize(
    "targets",
    [
        ["Paris, France", "Lyon, France", "Rome, Italy", "Milan, Italy"],  # always two, in the same places
        ["Loan, overdraft or credit", "Card", "Transfer, at home or abroad"],  # commas that belong to a label
        ["Yes, it is", "No, it is not", "Yes", "No"],
        ["1,200", "3,400", "1,000"],
        ["good", "bad"],
        ["a; b\nc", "a"],
    ],
)
def test_separators_that_are_part_of_a_text(targets: list[str]) -> None:
    assert found_in(targets * 10) is None


def test_long_texts_are_no_labels() -> None:
    assert found_in([f"I went home; it was late number {i}" for i in range(30)]) is None
    long = "a label of so many words that nobody would write it"
    assert found_in([f"{long}; b", "b", long] * 10) is None


def test_reading_and_writing() -> None:
    assert items("a; b;; a", "; ") == ["a", "b"]
    assert items("a|b", "|") == ["a", "b"]
    assert items("None", "; ") == []
    assert items('["a", "none", ""]', LIST) == ["a"]
    assert listed("[1, 2.5]") == ["1", "2.5"]
    assert [listed(text) for text in ("a", "[a]", '["a", null]', '["a", ["b"]]', "[true]", "[" * 5000)] == [
        None
    ] * 6
    assert parts("a;;b", ";") == ["a", "", "b"]
    assert [says_none(text) for text in ("none", " No  label.", "", "none; a")] == [True, True, False, False]
    assert (written(["a", "b"], " | "), written([], "; "), written(["é"], LIST)) == ("a | b", "none", '["é"]')


def test_a_joint_that_is_known() -> None:
    found = counted_with(["a; b", "none", "c"], "; ")
    assert (found.several, found.without, sorted(found.counts)) == (1, 1, ["a", "b", "c"])
