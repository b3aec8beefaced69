"""Which patterns are refused, and that none runs for ever."""

from __future__ import annotations

import time

import pytest

from rung.errors import DataError
from rung.evaluation import patterns
from rung.evaluation.patterns import flaw, found_in


@pytest.mark.parametrize(
    "pattern",
    [
        "(a|aa)+",
        "(a+)+$",
        "(a*)*",
        "^(([a-z])+.?)*$",
        "(a|ab)+c",
        "(?:a+b?)+",
        "((a+))+",
        "(a{1,99})+",
        "(?=(a+)+)",
    ],
)
def test_patterns_with_many_readings_are_refused(pattern: str) -> None:
    assert "take for ever" in flaw(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "^[a-z]+(-[a-z]+)*$",
        "^\\d{4}-\\d{2}-\\d{2}$",
        "^(cat|dog)+$",
        "[A-Z]{2,5}",
        "^(ab?c)*$",
        "^.*$",
        "(a+){2}",
        "",
    ],
)
def test_usual_patterns_are_taken(pattern: str) -> None:
    assert flaw(pattern) == ""


@pytest.mark.parametrize("pattern", ["(", "[z-a]", "a{3,2}", "*"])
def test_what_is_no_pattern_says_so(pattern: str) -> None:
    assert flaw(pattern).startswith("cannot be read")


def test_a_search_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "SECONDS", 0.05)
    start = time.monotonic()
    with pytest.raises(DataError, match="takes longer"):
        found_in("^(a|aa)+$", "a" * 80 + "!")
    assert time.monotonic() - start < 5
    assert found_in("b", "abc")
