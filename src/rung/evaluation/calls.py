"""Reads an API call out of a completion: a Python call, or a command line.

Two calls are the same when only their writing differs:

- Python: order of keyword arguments, kind of quotes, whitespace.  ``f(x)`` and ``f(a=x)`` differ,
  as do ``1`` and ``1.0``: nothing is looked up or run.  A positional argument behind a keyword, which
  Python refuses and data sets contain, is read as if it came first.
- Command: order of flags among each other and among the words, ``--flag=value`` against
  ``--flag value``, quoting.  The order of words (``cp a b``) counts, and so does everything after
  ``--``.  Whether ``-t pod`` is a flag with a value or a switch before a word is not in the text; a
  flag that stands without a value in either of the two commands is a switch in both.  ``-it`` and
  ``-i -t``, short and long names, differ.
"""

from __future__ import annotations

import ast
import io
import re
import shlex
import tokenize
import warnings
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^\s*[A-Za-z][A-Za-z ]{0,24}:\s+(?=\S)")
_CONTINUED = re.compile(r"\\[ \t]*\n")
_PROGRAM = re.compile(r"[\w./+-]+")
_LONGEST = 20_000  # characters looked at; a call is far shorter
_CALL = re.compile(r"([A-Za-z_][\w.]*)\s*\(.*\)", re.DOTALL)
_PROGRAM_WORD = re.compile(r"[a-z][a-z0-9_.+-]*")
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_CLOSINGS = 32  # closing brackets tried for a call inside prose


@dataclass(frozen=True, slots=True)
class Call:
    """One call. ``tokens`` is the one canonical text of a Python call, or the words of a command."""

    form: Literal["python", "command"]
    name: str  # dotted function, or program and subcommand
    tokens: tuple[str, ...]

    @property
    def text(self) -> str:
        """The call, written the one way."""
        return self.tokens[0] if self.form == "python" else shlex.join(self.tokens)


def read_call(text: str, functions: Collection[str] = ()) -> Call | None:
    """The first call in `text`, or None.

    Looked at in turn: fenced code, the whole text, `inline code`, each line (a leading ``$ `` or
    ``Answer: `` is dropped), and last a known function inside prose.  `functions` are the names known
    from the train rows: a line counts as a command only if its program is one of theirs.
    """
    text = text[:_LONGEST]
    for piece in _pieces(text):
        call = _python(piece, functions) or _command(piece, functions)
        if call is not None:
            return call
    return _in_prose(text, functions)


def same_call(first: Call, second: Call) -> bool:
    """Whether two calls differ in writing only (see the module's docstring)."""
    if first.form != second.form:
        return False
    if first.form == "python":
        return first.tokens == second.tokens
    switches = _switches(first.tokens) | _switches(second.tokens)
    return _arranged(first.tokens, switches) == _arranged(second.tokens, switches)


def name_of_call(text: str) -> str:
    """The function that `text` as a whole calls, or "".

    Documented calls are often not quite Python (``load('x', model='y', 'z')``): the form alone counts, but
    "f (see below)" in prose does not.
    """
    text = text.strip()
    match = _CALL.fullmatch(text)
    if match is None:
        return ""
    try:
        called = isinstance(ast.parse(text, mode="eval").body, ast.Call)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        called = "=" in text
    return match[1] if called else ""


def words_of_command(text: str) -> list[str]:
    """The words of a shell command, or nothing if it does not begin with a lower-case program."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    return words if words and _PROGRAM_WORD.fullmatch(words[0]) else []


def _pieces(text: str) -> Iterator[str]:
    yield from _FENCE.findall(text)
    yield text.strip()
    yield from _INLINE.findall(text)
    for line in _CONTINUED.sub(" ", text).splitlines():
        yield line.strip()
        if _HEADING.match(line):
            yield _HEADING.sub("", line).strip()


# --- Python -----------------------------------------------------------------------------------------


class _SortKeywords(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        node.keywords.sort(key=lambda keyword: (keyword.arg is None, keyword.arg or ""))
        return node


def _python(piece: str, functions: Collection[str]) -> Call | None:
    if "(" not in piece:
        return None
    try:
        tree = _tree(piece)
        calls = [found for statement in tree.body if (found := _called(statement)) is not None]
        read = [
            Call("python", ast.unparse(call.func), (ast.unparse(_SortKeywords().visit(call)),))
            for call in calls
        ]
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    return next((call for call in read if call.name in functions), read[0] if read else None)


def _tree(piece: str) -> ast.Module:
    with warnings.catch_warnings():  # "\d" in a model's string is not our warning to give
        warnings.simplefilter("ignore")
        try:
            return ast.parse(piece)
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


def _called(statement: ast.stmt) -> ast.Call | None:
    if not isinstance(statement, ast.Expr | ast.Assign | ast.AnnAssign | ast.Return):
        return None
    value = statement.value
    if isinstance(value, ast.Await):
        value = value.value
    return value if isinstance(value, ast.Call) else None


def _in_prose(text: str, functions: Collection[str]) -> Call | None:
    for name in functions:
        for found in re.finditer(rf"(?<![\w.]){re.escape(name)}\s*\(", text):
            closings = [i for i in range(found.end(), len(text)) if text[i] == ")"][:_CLOSINGS]
            for end in closings:
                call = _python(text[found.start() : end + 1], functions)
                if call is not None:
                    return call
    return None


# --- commands ---------------------------------------------------------------------------------------


def _command(piece: str, functions: Collection[str]) -> Call | None:
    tokens = _first_line(re.sub(r"^\$\s+", "", _CONTINUED.sub(" ", piece.strip())))
    if not tokens or not _PROGRAM.fullmatch(tokens[0]):
        return None
    programs = {name.split()[0] for name in functions if name.strip()}
    if programs and tokens[0] not in programs:
        return None
    return Call("command", _command_name(tokens, functions), tokens)


def _first_line(piece: str) -> tuple[str, ...]:
    """Words of the first line, which goes on inside a quotation."""
    line = ""
    for part in piece.splitlines():
        line += part
        try:
            return tuple(shlex.split(line))
        except ValueError:
            line += "\n"
    return ()


def _command_name(tokens: tuple[str, ...], functions: Collection[str]) -> str:
    """The longest known command the words begin with, and at least the program and its first word."""
    words, _, _ = _arranged(tokens, _switches(tokens))
    known = [name for name in functions if tuple(name.split()) == words[: len(name.split())]]
    return max([" ".join(words[:2]), *known], key=lambda name: len(name.split()))


def _is_flag(token: str) -> bool:
    return re.match(r"--?[A-Za-z]", token) is not None


def _switches(tokens: tuple[str, ...]) -> frozenset[str]:
    """Flags with no value after them: at the end, before another flag, or before ``--``."""
    after = (*tokens[1:], "--")
    found = set()
    for token, following in zip(tokens, after, strict=True):
        if token == "--":
            break
        if _is_flag(token) and "=" not in token and (_is_flag(following) or following == "--"):
            found.add(token)
    return frozenset(found)


def _arranged(
    tokens: tuple[str, ...], switches: frozenset[str]
) -> tuple[tuple[str, ...], Counter[tuple[str, str | None]], tuple[str, ...]]:
    """Words in order, flags with their values in any order, and what follows ``--``."""
    words: list[str] = []
    flags: Counter[tuple[str, str | None]] = Counter()
    rest = list(tokens)
    while rest:
        token = rest.pop(0)
        if token == "--":
            break
        if not _is_flag(token):
            words.append(token)
        elif "=" in token:
            name, _, value = token.partition("=")
            flags[name, value] += 1
        elif token in switches or not rest:
            flags[token, None] += 1
        else:
            flags[token, rest.pop(0)] += 1
    return tuple(words), flags, tuple(rest)
