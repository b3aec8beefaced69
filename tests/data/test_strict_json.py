"""Text that Python's own JSON reader takes and rung does not."""

from __future__ import annotations

import json

import pytest

from rung.data.strict_json import RowError, array_items, as_object, decode_line, show

REFUSED = ["NaN", "-Infinity", "1e999", '"\\ud800"', '{"a": 1, "a": 2}', "[" * 101 + "]" * 101]


@pytest.mark.parametrize("text", REFUSED)
def test_what_python_reads_and_rung_refuses(text: str) -> None:
    json.loads(text)
    with pytest.raises(RowError):
        decode_line(text)
    with pytest.raises(RowError):
        list(array_items(f"[1, {text}]"))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -3,
        1.5e300,
        "a\n\x00🙂",
        [],
        {},
        {"a": [{"b": [1, "]"]}]},
        int("9" * 4300),
        -int("9" * 4300),
    ],
)
def test_what_is_read_as_python_reads_it(value: object) -> None:
    for ascii in (True, False):
        text = json.dumps(value, ensure_ascii=ascii)
        assert decode_line(text) == value
        assert list(array_items(f" [{text} ,\n{text}] ")) == [(1, value), (2, value)]
        assert list(array_items(json.dumps([value] * 3, indent=2))) == [(n, value) for n in (1, 2, 3)]


def test_integers_of_4301_digits_are_refused_in_our_words() -> None:
    for text in ("9" * 4301, "-" + "9" * 4301):
        with pytest.raises(RowError, match="a number of 4,301 digits"):
            decode_line(text)


def test_an_item_before_a_bad_one_is_still_given() -> None:
    items = array_items('["first", NaN]')
    assert next(items) == (1, "first")
    with pytest.raises(RowError, match="NaN"):
        next(items)


@pytest.mark.parametrize("text", ["[1,]", "[1 2]", "[1", "[", "[,1]", "[1] 2", "[1]]"])
def test_broken_arrays(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        list(array_items(text))


def test_only_objects_are_rows() -> None:
    assert as_object({"a": 1}) == {"a": 1}
    with pytest.raises(RowError, match="is 'None', not an object"):
        as_object(None)


def test_shown_values_are_short_and_printable() -> None:
    assert show("a\x1b[2J\n") == repr("a\x1b[2J\n")
    assert "\x1b" not in show("\x1b")
    assert len(show("x" * 1000)) == 42
    assert show([1, "b"]) == "\"[1, 'b']\""
