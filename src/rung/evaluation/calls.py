"""Reads API calls out of a completion: Python calls, or command lines, all of them in their order.

Two calls are the same when only their writing differs:

- Python: order of keyword arguments, of dict keys and of set items, kind of quotes, whitespace.  ``f(x)`` and
  ``f(a=x)`` differ, as do ``1`` and ``1.0``: nothing is looked up or run.  A positional argument behind a
  keyword, which Python refuses and data sets contain, is read as if it came first.
- Command: order of flags among each other and among the words, ``--flag=value`` against
  ``--flag value``, quoting, order of keys in a JSON value.  The order of words (``cp a b``) counts, and so
  does everything after ``--``.  Whether ``-t pod`` is a flag with a value or a switch before a word is not in
  the text; a flag without a value in either of the two commands is a switch in both.  ``-it`` and
  ``-i -t``, short and long names, differ.  A new line, ``;`` and ``&&`` are the same, ``|`` and ``||`` are
  not.
"""

from __future__ import annotations

import ast
import io
import re
import shlex
import tokenize
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rung.evaluation.commands import THEN, arrange, differing, has_flag, split_line
from rung.evaluation.languages import SMALL_WORDS

_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^\s*(?:[A-Za-z][A-Za-z ]{0,24}:\s+|[-*•]\s+|\d+[.)]\s+)(?=\S)")
_PROMPT = re.compile(r"^\s*(?:\$|>>>)\s+")
_CONTINUED = re.compile(r"\\[ \t]*\n")
_PROGRAM = re.compile(r"[\d./+-]*[A-Za-z_][\w./+-]*", re.ASCII)
_END_OF_SENTENCE = re.compile(r"\w[.!?:]$")
_CALL = re.compile(r"([A-Za-z_][\w.]*)\s*\(.*\)", re.DOTALL)
_LONGEST = 20_000  # characters looked at; calls are far shorter
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
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
        (_read_code(fenced, functions, True) if fenced else ())
        or _read_code(text, functions, False)
        or tuple(call for piece in _INLINE.findall(text) for call in _read_line(piece, functions, False))
        or tuple(_in_prose(text, functions))
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
    one, two = _arguments(first), _arguments(second)
    return [name for name in {**one, **two} if one.get(name) != two.get(name)]


def name_of_call(text: str) -> str:
    """The function that `text` as a whole calls, the first of several, or "".

    Documented calls are often not quite Python (``load('x', model='y', 'z')``): the form alone counts, but
    "f (see below)" in prose does not.
    """
    text = text.strip()
    calls, others = _statements(text)
    if calls and not others:
        return calls[0].name
    match = _CALL.fullmatch(text)
    return match[1] if match and "=" in text else ""


def _same(first: Call, second: Call) -> bool:
    if first.form != second.form or first.joint != second.joint:
        return False
    if first.form == "python":
        return first.tokens == second.tokens
    return arrange(first.tokens, second.tokens) == arrange(second.tokens, first.tokens)


# --- lines ------------------------------------------------------------------------------------------


def _read_code(text: str, functions: Collection[str], fenced: bool) -> tuple[Call, ...]:
    """The calls of a text: as one piece of Python, or of its lines."""
    if calls := _statements(text)[0]:
        return tuple(calls)
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
    if _statements(line)[0]:
        return True
    word = line.split()[0]
    program = _PROGRAM.fullmatch(word) is not None and not word[0].isupper()
    return program and word not in SMALL_WORDS["English"] and not _END_OF_SENTENCE.search(line)


def _read_line(line: str, functions: Collection[str], script: bool) -> tuple[Call, ...]:
    for piece in dict.fromkeys((line.strip(), _PROMPT.sub("", _HEADING.sub("", line)).strip())):
        calls = tuple(_statements(piece)[0]) or _commands(piece, functions, script)
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


# --- Python -----------------------------------------------------------------------------------------


class _InOrder(ast.NodeTransformer):
    """Puts in order what has none: keywords of a call, keys of a dict, items of a set."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        node.keywords.sort(key=lambda keyword: (keyword.arg is None, keyword.arg or ""))
        return node

    def visit_Dict(self, node: ast.Dict) -> ast.Dict:
        self.generic_visit(node)
        if None not in node.keys:  # **more may come before or after a key it holds too
            pairs = zip(node.keys, node.values, strict=True)
            ordered = sorted(pairs, key=lambda pair: ast.unparse(pair[0]) if pair[0] else "")
            node.keys, node.values = [key for key, _ in ordered], [value for _, value in ordered]
        return node

    def visit_Set(self, node: ast.Set) -> ast.Set:
        self.generic_visit(node)
        node.elts.sort(key=ast.unparse)
        return node


def _statements(piece: str) -> tuple[list[Call], bool]:
    """The calls that are statements of `piece`, and whether it has others; none where it is no Python."""
    if "(" not in piece:
        return [], True
    try:
        tree = _tree(piece)
        found = [_called(statement) for statement in tree.body]
        calls = [
            Call("python", ast.unparse(call.func), (ast.unparse(_InOrder().visit(call)),))
            for calls in found
            for call in calls
        ]
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return [], True
    return calls, not all(found)


def _tree(piece: str) -> ast.Module:
    with warnings.catch_warnings():  # "\d" in a model's string is not our warning to give
        warnings.simplefilter("ignore")
        try:
            return ast.parse(piece.strip())
        except SyntaxError:
            return ast.parse(_keywords_last(piece))


def _keywords_last(piece: str) -> str:
    """``f(a=1, b)`` as ``f(b, a=1)``. Raises `SyntaxError` where `piece` is not of that form."""
    call = re.fullmatch(r"\s*((?:\w+\s*=\s*)?[A-Za-z_][\w.]*\s*)\((.*)\)\s*;?\s*", piece, re.DOTALL)
    if call is None:
        raise SyntaxError("not one call")
    arguments: list[list[str]] = [[]]
    depth = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(call[2]).readline):
            depth += (token.string in _OPENING) - (token.string in _CLOSING)
            if token.string == "," and depth == 0:
                arguments.append([])
            elif token.string.strip():
                arguments[-1].append(token.string)
    except tokenize.TokenError as fault:
        raise SyntaxError(str(fault)) from fault
    arguments.sort(key=lambda words: "=" in words[1:2])
    return f"{call[1]}({', '.join(' '.join(words) for words in arguments if words)})"


def _called(statement: ast.stmt) -> list[ast.Call]:
    """The calls a statement consists of: one, or those of a list."""
    if not isinstance(statement, ast.Expr | ast.Assign | ast.AnnAssign | ast.Return):
        return []
    value = statement.value
    items = value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
    items = [item.value if isinstance(item, ast.Await) else item for item in items if item is not None]
    calls = [item for item in items if isinstance(item, ast.Call)]
    return calls if len(calls) == len(items) else []


def _arguments(call: Call) -> dict[str, str]:
    """The arguments of a Python call by name, or by place."""
    if call.form != "python":
        return {}
    node = ast.parse(call.tokens[0], mode="eval").body
    assert isinstance(node, ast.Call)
    named = {keyword.arg or "**": ast.unparse(keyword.value) for keyword in node.keywords}
    return {f"argument {place}": ast.unparse(one) for place, one in enumerate(node.args, start=1)} | named


def _in_prose(text: str, functions: Collection[str]) -> Iterator[Call]:
    """Calls of known functions, wherever they stand."""
    if not functions:
        return
    names = "|".join(map(re.escape, sorted(functions, key=len, reverse=True)))
    place = 0
    while found := re.compile(rf"(?<![\w.])(?:{names})\s*\(").search(text, place):
        place = found.end()
        for end in [i for i in range(found.end(), len(text)) if text[i] == ")"][:_CLOSINGS]:
            if calls := _statements(text[found.start() : end + 1])[0]:
                yield from calls
                place = end + 1
                break
