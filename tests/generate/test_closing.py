"""What closes a text."""

import pytest

from rung.generate.closing import closers


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ""),
        ('{"a": 1}', ""),
        ('{"a": ["b', '"]}'),
        ('{"a": "x\\"', '"}'),
        ('{"a": "[{("', "}"),
        ('[{"a": {"b": 1', "}}]"),
        ("f(x='y", "')"),
        ('{"it\'s": "it\'s', '"}'),
    ],
)
def test_quotes_and_brackets_that_are_open_are_closed(text: str, wanted: str) -> None:
    assert closers(text) == wanted
