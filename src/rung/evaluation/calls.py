"""Reads API calls out of a completion: Python calls, JSON calls or command lines, all of them in their order.

Two calls are the same when only their writing differs:

- Python: order of keyword arguments, of dict keys and of set items, kind of quotes, whitespace, ``1`` and
  ``1.0``.  ``f(x)`` and ``f(a=x)`` differ: nothing is looked up or run.  A positional argument behind a
  keyword, which Python refuses and data sets contain, is read as if it came first.
- JSON: a call written as JSON is the Python call with the same name and arguments.
- Command: order of flags among each other and among the words, ``--flag=value`` against
  ``--flag value``, quoting, order of keys in a JSON value.  The order of words (``cp a b``) counts, and so
  does everything after ``--``.  Whether ``-t pod`` is a flag with a value or a switch before a word is not in
  the text; a flag without a value in either of the two commands is a switch in both.  ``-it`` and
  ``-i -t``, short and long names, differ.  A new line, ``;`` and ``&&`` are the same, ``|`` and ``||`` are
  not.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rung.evaluation.commands import THEN, arrange, differing, has_flag, split_line
from rung.evaluation.json_calls import calls_in_json, is_json
from rung.evaluation.languages import SMALL_WORDS
from rung.evaluation.python_calls import arguments, statements, text_of_tree

_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^\s*(?:[A-Za-z][A-Za-z ]{0,24}:\s+|[-*•]\s+|\d+[.)]\s+)(?=\S)")
_PROMPT = re.compile(r"^\s*(?:\$|>>>)\s+")
_CONTINUED = re.compile(r"\\[ \t]*\n")
_PROGRAM = re.compile(r"[\d./+-]*[A-Za-z_][\w./+-]*", re.ASCII)
_END_OF_SENTENCE = re.compile(r"\w[.!?:]$")
_CALL = re.compile(r"([A-Za-z_][\w.]*)\s*\(.*\)", re.DOTALL)
_LONGEST = 20_000  # characters looked at; calls are far shorter
_CLOSINGS = 32  # closing brackets tried for a call inside prose


@dataclass(frozen=True, slots=True)
class Call:
    """One call. ``tokens`` is the one canonical text of a Python call, or the words of a command."""

    form: Literal["python", "command"]
    name: str  # dotted function, or program and subcommand
    tokens: tuple[str, ...]
    joint: str = THEN  # what joins it to the call before: `THEN`, "|" or "||"

    @property
    def text(self) -> str:
        """The call, written the one way."""
        return self.tokens[0] if self.form == "python" else shlex.join(self.tokens)


def read_calls(text: str, functions: Collection[str] = ()) -> tuple[Call, ...]:
    """All calls in `text`, in their order.

    Looked at in turn: fenced code, the text as a whole and line by line, `inline code`, and last known
    functions inside prose; the first that has calls counts.  A leading ``$ ``, ``1. `` or ``Answer: `` is
    dropped.  `functions` are the names known from the file.  A line among prose counts as a command if its
    program is one of theirs or it has flags; where every line looks like a command, all of them count.
    """
    text = text[:_LONGEST]
    fenced = "\n".join(_FENCE.findall(text))
    return (
        (_python(calls_in_json(text)) if is_json(fenced) or is_json(text) else ())
        or (_read_code(fenced, functions, True) if fenced else ())
        or _read_code(text, functions, False)
        or tuple(call for piece in _INLINE.findall(text) for call in _read_line(piece, functions, False))
        or tuple(_in_prose(text, functions))
        or _python(calls_in_json(text))
    )


def read_back(text: str, functions: Collection[str] = ()) -> tuple[Call, ...]:
    """The calls that `text_of` wrote."""
    return _read_code(text, functions, True)


def same_calls(first: Sequence[Call], second: Sequence[Call]) -> bool:
    """Whether two sequences of calls differ in writing only (see the module's docstring)."""
    return len(first) == len(second) and all(map(_same, first, second))


def text_of(calls: Sequence[Call]) -> str:
    """The calls, written the one way; a command a line, but for pipes."""
    joints = (THEN if call.joint == THEN else f" {call.joint} " for call in calls)
    return "".join(joint + call.text for joint, call in zip(joints, calls, strict=True)).strip()


def different_arguments(first: Call, second: Call) -> list[str]:
    """The names of keywords and flags, and the places of other arguments, in which two calls differ."""
    if first.form == second.form == "command":
        return differing(first.tokens, second.tokens)
    one, two = arguments_of(first), arguments_of(second)
    return [name for name in {**one, **two} if one.get(name) != two.get(name)]


def name_of_call(text: str) -> str:
    """The function that `text` as a whole calls, the first of several, or "".

    Documented calls are often not quite Python (``load('x', model='y', 'z')``): the form alone counts, but
    "f (see below)" in prose does not.
    """
    text = text.strip()
    calls, others = statements(text)
    if calls and not others:
        return calls[0][0]
    if is_json(text) and (found := _python(calls_in_json(text))):
        return found[0].name
    match = _CALL.fullmatch(text)
    return match[1] if match and "=" in text else ""


def arguments_of(call: Call) -> dict[str, str]:
    """The arguments of a Python call by name, or by place, each written the one way; none of a command."""
    if call.form != "python":
        return {}
    return {name: text_of_tree(value) for name, value in arguments(call.tokens[0]).items()}


def _python(text: str) -> tuple[Call, ...]:
    """The Python calls that are statements of a text."""
    return tuple(Call("python", name, (written,)) for name, written in statements(text)[0])


def _same(first: Call, second: Call) -> bool:
    if first.form != second.form or first.joint != second.joint:
        return False
    if first.form == "python":
        return first.tokens == second.tokens
    return arrange(first.tokens, second.tokens) == arrange(second.tokens, first.tokens)


# --- lines ------------------------------------------------------------------------------------------


def _read_code(text: str, functions: Collection[str], fenced: bool) -> tuple[Call, ...]:
    """The calls of a text: as one piece of Python, or of its lines."""
    if calls := _python(text):
        return calls
    lines = list(_logical_lines(text))
    script = fenced or all(map(_looks_like_code, lines))
    found = [_read_line(line, functions, script) for line in lines]
    if script and not fenced and not (found and _is_known(found[0], functions)):
        found = [_read_line(line, functions, False) for line in lines]
    return tuple(call for calls in found for call in calls)


def _logical_lines(text: str) -> Iterator[str]:
    """Lines that are not empty and no comments; one with an open quotation takes in those up to its end."""
    lines = _CONTINUED.sub(" ", text).splitlines()
    while lines:
        line = _PROMPT.sub("", lines.pop(0)).strip()
        if not line or line.startswith("#"):
            continue
        for more in range(1, len(lines) + 1 if _looks_like_code(line) and not _is_closed(line) else 0):
            if _is_closed(joined := "\n".join([line, *lines[:more]])):
                line, lines = joined, lines[more:]
                break
        yield line


def _is_closed(line: str) -> bool:
    try:
        shlex.split(line)
    except ValueError:
        return False
    return True


def _looks_like_code(line: str) -> bool:
    """A Python call, or a line that begins as a command does and does not end as a sentence does."""
    if _python(line):
        return True
    word = line.split()[0]
    program = _PROGRAM.fullmatch(word) is not None and not word[0].isupper()
    return program and word not in SMALL_WORDS["English"] and not _END_OF_SENTENCE.search(line)


def _read_line(line: str, functions: Collection[str], script: bool) -> tuple[Call, ...]:
    for piece in dict.fromkeys((line.strip(), _PROMPT.sub("", _HEADING.sub("", line)).strip())):
        calls = _python(piece) or _commands(piece, functions, script)
        if calls:
            return calls
    return ()


def _commands(line: str, functions: Collection[str], script: bool) -> tuple[Call, ...]:
    try:
        parts = split_line(line)
    except ValueError:
        return ()
    if not parts or not all(_PROGRAM.fullmatch(words[0]) for _, words in parts):
        return ()
    calls = tuple(Call("command", _name_of(words, functions), words, joint) for joint, words in parts)
    flagged = any(has_flag(words) for _, words in parts)
    prose = _END_OF_SENTENCE.search(line) is not None and not flagged
    if script or (_is_known(calls, functions) and not prose):
        return calls
    return calls if functions and flagged and _looks_like_code(line) else ()


def _is_known(calls: Sequence[Call], functions: Collection[str]) -> bool:
    """Whether the first call is Python, or of a program that the file has; any is where none are known."""
    programs = {name.split()[0] for name in functions if name.strip()}
    return bool(calls) and (calls[0].form == "python" or not programs or calls[0].tokens[0] in programs)


def _name_of(tokens: tuple[str, ...], functions: Collection[str]) -> str:
    """The longest known command the words begin with, and at least the program and its first word."""
    words = arrange(tokens).words
    known = [name for name in functions if tuple(name.split()) == words[: len(name.split())]]
    return max([" ".join(words[:2]), *known], key=lambda name: len(name.split()))


# --- inside prose ---------------------------------------------------------------------------------


def _in_prose(text: str, functions: Collection[str]) -> Iterator[Call]:
    """Calls of known functions, wherever they stand."""
    if not functions:
        return
    names = "|".join(map(re.escape, sorted(functions, key=len, reverse=True)))
    place = 0
    while found := re.compile(rf"(?<![\w.])(?:{names})\s*\(").search(text, place):
        place = found.end()
        for end in [i for i in range(found.end(), len(text)) if text[i] == ")"][:_CLOSINGS]:
            if calls := _python(text[found.start() : end + 1]):
                yield from calls
                place = end + 1
                break
