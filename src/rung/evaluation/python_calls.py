"""Python calls as trees: read from text, put into one order, and their arguments taken out; nothing is run.

Tools have names that Python does not allow (``get-weather(from="Oslo")``).  They are read all the same: such
a name is written as an identifier before the text is parsed, and as it was afterwards.
"""

from __future__ import annotations

import ast
import io
import keyword
import re
import tokenize
import warnings
from typing import Any, Final

_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_MARK: Final = "ー"  # a letter for Python, and in no name of a tool
_STRING = r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'"
_NAMES = re.compile(
    rf"(?P<string>{_STRING})"
    r"|(?P<before>[(,]\s*)(?P<argument>[^\s\"'(),=\[\]{}:*]+)(?=\s*=(?!=))"
    r"|(?<![\w.)\]\"'-])(?P<function>[A-Za-z_][\w./-]*)(?=\()",
    re.DOTALL,
)
_ESCAPED = re.compile(f"{_MARK}([0-9a-f]*){_MARK}")
_JSON_WORDS: Final = {"true": True, "false": False, "null": None}
Found = tuple[str, str]  # the dotted name of a call, and its one text


def statements(piece: str) -> tuple[list[Found], bool]:
    """The calls that are statements of `piece`, and whether it has others; none where it is no Python."""
    if "(" not in piece:
        return [], True
    calls, others = _read(piece)
    if others and (escaped := _escape(piece)) != piece and len((more := _read(escaped))[0]) > len(calls):
        calls, others = more
    return [(_name(call), text_of_tree(call)) for call in calls], others


def arguments(text: str) -> dict[str, ast.expr]:
    """The arguments of a call that `statements` wrote, by name, or by place: ``argument 1``."""
    node = _one(text)
    places = {f"argument {place}": one for place, one in enumerate(node.args, start=1)}
    return places | {_unescape(one.arg or "**"): one.value for one in node.keywords}


def value_of(node: ast.expr) -> Any:
    """What an expression stands for, as JSON has it, tuples as lists; its text where it is no literal."""
    try:
        return _as_json(ast.literal_eval(node))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        if isinstance(node, ast.List | ast.Tuple):
            return [value_of(one) for one in node.elts]
        if isinstance(node, ast.Dict) and None not in node.keys:
            pairs = zip(node.keys, node.values, strict=True)
            return {str(value_of(key)): value_of(one) for key, one in pairs if key is not None}
        return text_of_tree(node)


def texts_in(text: str) -> frozenset[str]:
    """The texts among the arguments of a call that `statements` wrote, not those inside lists or objects."""
    node = _one(text)
    values = [*node.args, *(one.value for one in node.keywords)]
    return frozenset(
        one.value for one in values if isinstance(one, ast.Constant) and isinstance(one.value, str)
    )


def pins_in(text: str) -> tuple[tuple[str, str], ...]:
    """`texts_in`, each behind its keyword, or "" where it has none."""
    return tuple(
        ("" if name.startswith("argument ") else name, node.value)
        for name, node in arguments(text).items()
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def text_of_tree(node: ast.expr) -> str:
    """An expression, written the one way."""
    return _unescape(ast.unparse(node))


def _one(text: str) -> ast.Call:
    calls, _ = _read(text)
    call = (calls or _read(_escape(text))[0])[0]
    assert isinstance(call, ast.Call)
    return call


def _name(call: ast.Call) -> str:
    return text_of_tree(call.func)


def _as_json(value: Any) -> Any:
    if isinstance(value, list | tuple | set | frozenset):
        return [_as_json(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _as_json(one) for key, one in value.items()}
    return value


class _InOrder(ast.NodeTransformer):
    """Puts in order what has none: keywords of a call, keys of a dict, items of a set.  Equal literals are
    written in one way: ``1.0`` as ``1``, JSON's ``true`` as ``True``.
    """

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        node.keywords.sort(key=lambda keyword: (keyword.arg is None, _unescape(keyword.arg or "")))
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

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        whole = isinstance(node.value, float) and node.value.is_integer()
        return ast.Constant(int(node.value)) if whole else node  # type: ignore[arg-type]

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(_JSON_WORDS[node.id]) if node.id in _JSON_WORDS else node


def _read(piece: str) -> tuple[list[ast.Call], bool]:
    """The calls of a piece of Python, in order, and whether it has statements that are none."""
    try:
        found = [_called(statement) for statement in _tree(piece).body]
        return [_InOrder().visit(call) for calls in found for call in calls], not all(found)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return [], True


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
    listed: list[list[str]] = [[]]
    depth = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(call[2]).readline):
            depth += (token.string in _OPENING) - (token.string in _CLOSING)
            if token.string == "," and depth == 0:
                listed.append([])
            elif token.string.strip():
                listed[-1].append(token.string)
    except tokenize.TokenError as fault:
        raise SyntaxError(str(fault)) from fault
    listed.sort(key=lambda words: "=" in words[1:2])
    return f"{call[1]}({', '.join(' '.join(words) for words in listed if words)})"


def _called(statement: ast.stmt) -> list[ast.Call]:
    """The calls a statement consists of: one, or those of a list."""
    if not isinstance(statement, ast.Expr | ast.Assign | ast.AnnAssign | ast.Return):
        return []
    value = statement.value
    items = value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
    items = [item.value if isinstance(item, ast.Await) else item for item in items if item is not None]
    calls = [item for item in items if isinstance(item, ast.Call)]
    return calls if len(calls) == len(items) else []


# --- names that Python does not allow ---------------------------------------------------------------


def _escape(piece: str) -> str:
    """`piece` with the names of functions and arguments as identifiers; texts in quotes stay."""

    def written(match: re.Match[str]) -> str:
        if match["string"] is not None:
            return match[0]
        if match["argument"] is not None:
            return match["before"] + _identifier(match["argument"])
        return ".".join(map(_identifier, match["function"].split(".")))

    return _NAMES.sub(written, piece)


def _identifier(name: str) -> str:
    if keyword.iskeyword(name):
        return f"{_MARK}{_MARK}{name}"
    if name.isidentifier():
        return name
    found = "".join(one if one == "_" or one.isalnum() else f"{_MARK}{ord(one):x}{_MARK}" for one in name)
    return found if found.isidentifier() else f"{_MARK}{_MARK}{found}"


def _unescape(text: str) -> str:
    return (
        _ESCAPED.sub(lambda match: chr(int(match[1], 16)) if match[1] else "", text)
        if _MARK in text
        else text
    )
