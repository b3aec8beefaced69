"""Patterns of schemas are data: slow ones are refused, and every search has a limit of time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import regex

from rung.errors import DataError

SECONDS = 0.5  # that one search may take
_parser: Any = re._parser  # type: ignore[attr-defined]
_LOOKS = {"ASSERT", "ASSERT_NOT"}
_LOOPS = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}
_MANY = 50  # repetitions from which a limit is as good as none


def found_in(pattern: str, text: str) -> bool:
    """Whether `pattern` occurs in `text`. Raises `DataError` where the search takes longer than `SECONDS`."""
    try:
        return regex.search(pattern, text, timeout=SECONDS) is not None
    except TimeoutError as error:
        raise DataError(
            f"the pattern {pattern!r} takes longer than {SECONDS} seconds on one text",
            fix="Write it without repetitions that can be read in several ways, or leave the pattern out",
        ) from error


def flaw(pattern: str) -> str:
    """Why `pattern` is refused, as the end of a sentence about it; empty where it can be used.

    Refused are patterns that cannot be read, and a repetition whose inside is, but for what may be absent,
    one more repetition, or that has a choice of beginnings that may be the same, as in ``(a+)+`` and
    ``(a|ab)*``: their number of readings can double with every character.
    """
    try:
        regex.compile(pattern)
        tree = _parser.parse(pattern)
    except (regex.error, re.error, RecursionError, OverflowError) as error:
        return f"cannot be read: {error}"
    return "can take for ever, since a repetition is inside another one" if _explodes(tree, False) else ""


def _explodes(items: Sequence[Any], inside: bool) -> bool:
    """Whether a sequence has a repetition with many readings; `inside`: it is itself repeated."""
    needed = sum(not _may_be_absent(item) for item in items)
    for item in items:
        name, value = str(item[0]), item[1]
        alone = inside and needed == (not _may_be_absent(item))  # all else may be absent
        if name in _LOOPS:
            many = value[1] >= _MANY and value[0] != value[1]
            if many and alone:
                return True
            parts, within = [value[2]], many or alone
        elif name == "BRANCH":
            if inside and _share_a_beginning(value[1]):
                return True
            parts, within = value[1], alone
        elif name == "SUBPATTERN":
            parts, within = [value[3]], alone
        elif name == "ATOMIC_GROUP":
            parts, within = [value], alone
        else:
            parts, within = [value[1]] if name in _LOOKS else [], False
        if any(_explodes(part, within) for part in parts):
            return True
    return False


def _may_be_absent(item: Any) -> bool:
    name, value = str(item[0]), item[1]
    if name in _LOOPS:
        return value[0] == 0 or all(map(_may_be_absent, value[2]))
    if name == "BRANCH":
        return any(all(map(_may_be_absent, branch)) for branch in value[1])
    if name == "SUBPATTERN":
        return all(map(_may_be_absent, value[3]))
    return name == "AT" or name in _LOOKS


def _share_a_beginning(branches: Sequence[Sequence[Any]]) -> bool:
    """Whether two branches may begin with the same character, as far as their first items say."""
    firsts = [_first(branch) for branch in branches]
    return any(
        one is None or other is None or bool(one & other)
        for place, one in enumerate(firsts)
        for other in firsts[:place]
    )


def _first(branch: Sequence[Any]) -> set[int] | None:
    """Code points that a branch begins with; None for any."""
    if not branch:
        return None
    name, value = str(branch[0][0]), branch[0][1]
    if name == "LITERAL":
        return {value}
    if name == "SUBPATTERN":
        return _first(value[3])
    if name == "IN":
        found: set[int] = set()
        for kind, part in value:
            if str(kind) == "LITERAL":
                found.add(part)
            elif str(kind) == "RANGE":
                found |= set(range(part[0], min(part[1], part[0] + 2000) + 1))
            else:
                return None
        return found
    if name in _LOOPS and value[0] > 0:
        return _first(value[2])
    return None
