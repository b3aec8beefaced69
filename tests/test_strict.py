"""A key given twice, NaN and infinities are refused in the caller's own kind of error."""

from __future__ import annotations

import pytest

from rung.strict import strict_decoder


class Refusal(ValueError):
    pass


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"a": 1, "b": 2, "a": 3}', "has the key 'a' twice"),
        ('[{"a": {"b": 1, "b": 1}}]', "has the key 'b' twice"),
        ("[NaN]", "holds NaN, which is not JSON"),
        ('{"a": -Infinity}', "holds -Infinity, which is not JSON"),
    ],
)
def test_what_is_refused(text: str, what: str) -> None:
    with pytest.raises(Refusal) as caught:
        strict_decoder(Refusal).decode(text)
    assert caught.value.args[0] == what
    assert caught.value.args[1]


def test_everything_else_is_read_as_python_reads_it() -> None:
    assert strict_decoder(Refusal).decode('{"a": [1, 2.5, null], "b": {"a": "x"}}') == {
        "a": [1, 2.5, None],
        "b": {"a": "x"},
    }
    assert strict_decoder(Refusal, parse_float=str).decode("[1.50]") == ["1.50"]
