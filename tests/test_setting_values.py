"""Values of settings as people write them; what is wrong with them is tested in test_config.py."""

from __future__ import annotations

import pytest

from rung.setting_values import comma_list, is_boolean, options_of, parse_duration


def test_times() -> None:
    assert [parse_duration(text) for text in ("90", "90s", "1h30m", "none", 5)] == [90, 90, 5400, None, 5]
    with pytest.raises(ValueError, match="write a time such as"):
        parse_duration("soon")


def test_lists() -> None:
    assert comma_list("a, b,") == ["a", "b"]
    assert comma_list(4) == [4]
    assert comma_list(["a"]) == ["a"]


def test_options_of_methods() -> None:
    assert options_of(["lora.rank=8", "lora.lora-plus=2", "peft:vera.r=64"]) == {
        "lora": {"rank": "8", "lora_plus": "2"},
        "peft:vera": {"r": "64"},
    }
    assert options_of("prompt.text=a=b, c") == {"prompt": {"text": "a=b, c"}}


def test_a_yes_or_no_inside() -> None:
    assert is_boolean({"a": [1, True]})
    assert not is_boolean({"a": [1, 0]})
