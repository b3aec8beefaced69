"""Command lines, taken apart: where one command ends, which words are flags, and which differ."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from dataclasses import dataclass
from typing import Final

THEN: Final = "\n"  # one command after another: a new line, ";" and "&&"
_JOINTS = {"&&": THEN, ";": THEN, "\n": THEN, "||": "||", "|": "|"}
_PROGRAM = re.compile(r"[a-z][a-z0-9_.+-]*")
_FLAG = re.compile(r"--?[A-Za-z]")


def split_line(line: str) -> list[tuple[str, tuple[str, ...]]]:
    """The commands of a line, each with what joins it to the one before and its words.

    Splits at ``;``, ``&&``, ``||``, ``|`` and line ends outside of quotes and brackets.  Raises `ValueError`
    where a quotation does not end.
    """
    parts: list[tuple[str, str]] = [(THEN, "")]
    quote, depth, place = "", 0, 0
    while place < len(line):
        character = line[place]
        joint = line[place : place + 2] if line[place : place + 2] in _JOINTS else character
        if character == "\\" and quote != "'":
            joint = line[place : place + 2]
        elif quote:
            quote = "" if character == quote else quote
            joint = character
        elif character in "'\"":
            quote = character
        elif joint in _JOINTS and depth == 0:
            parts.append((_JOINTS[joint], ""))
            place += len(joint)
            continue
        else:
            joint = character
            depth = max(0, depth + (character in "([{") - (character in ")]}"))
        parts[-1] = (parts[-1][0], parts[-1][1] + joint)
        place += len(joint)
    split = [(joint, tuple(shlex.split(part))) for joint, part in parts]
    found = [(joint, words) for joint, words in split if words]
    return [(THEN, found[0][1]), *found[1:]] if found else []


def words_of_command(text: str) -> list[str]:
    """The words of a shell command, or nothing if it does not begin with a lower-case program."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    return words if words and _PROGRAM.fullmatch(words[0]) else []


def has_flag(words: tuple[str, ...]) -> bool:
    return any(_FLAG.match(word) for word in words[1:])


@dataclass(frozen=True, slots=True)
class Arranged:
    """A command as what counts of it: words in order, flags with their values, what follows ``--``."""

    words: tuple[str, ...]
    flags: Counter[tuple[str, str | None]]
    rest: tuple[str, ...]


def arrange(tokens: tuple[str, ...], other: tuple[str, ...] = ()) -> Arranged:
    """`tokens` arranged; a flag without a value here or in `other` is a switch in both."""
    switches = _switches(tokens) | _switches(other)
    words: list[str] = []
    flags: Counter[tuple[str, str | None]] = Counter()
    rest = list(tokens)
    while rest:
        token = rest.pop(0)
        if token == "--":
            break
        if not _FLAG.match(token):
            words.append(_plain(token))
        elif "=" in token:
            name, _, value = token.partition("=")
            flags[name, _plain(value)] += 1
        elif token in switches or not rest:
            flags[token, None] += 1
        else:
            flags[token, _plain(rest.pop(0))] += 1
    return Arranged(tuple(words), flags, tuple(rest))


def differing(first: tuple[str, ...], second: tuple[str, ...]) -> list[str]:
    """The flags, and the words by their place, in which two commands differ."""
    one, two = arrange(first, second), arrange(second, first)
    flags = {name for name, _ in (one.flags - two.flags) + (two.flags - one.flags)}
    longest = max(len(one.words), len(two.words))
    pairs = zip(_filled(one.words, longest), _filled(two.words, longest), strict=True)
    words = [f"word {place}" for place, (a, b) in enumerate(pairs, start=1) if a != b]
    return [*sorted(flags), *words, *(["after --"] if one.rest != two.rest else [])]


def _filled(words: tuple[str, ...], length: int) -> list[str | None]:
    return [*words, *[None] * (length - len(words))]


def _switches(tokens: tuple[str, ...]) -> frozenset[str]:
    """Flags with no value after them: at the end, before another flag, or before ``--``."""
    after = (*tokens[1:], "--")
    found = set()
    for token, following in zip(tokens, after, strict=False):
        if token == "--":
            break
        if _FLAG.match(token) and "=" not in token and (_FLAG.match(following) or following == "--"):
            found.add(token)
    return frozenset(found)


def _plain(token: str) -> str:
    """The token; a JSON object with its keys in order."""
    if not token.startswith("{"):
        return token
    try:
        return json.dumps(json.loads(token), sort_keys=True)
    except (ValueError, RecursionError):
        return token
