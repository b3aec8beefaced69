"""Chat templates come from strangers: run them where they can neither reach Python nor eat the machine.

Jinja's sandbox keeps a template away from the interpreter, not from the clock or the memory.  Message
texts never enter a template here (`rung.data.templates` renders placeholders), so an honest template
only ever handles short strings: loops, calls and the size of every string can have a small budget.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from datetime import datetime
from typing import Any

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rung.errors import BaseModelError

MAX_BYTES = 32 * 1024  # of a template
MAX_STEPS = 20_000  # loop turns and macro calls of one rendering
MAX_TEXT = 200_000  # characters of any string and of the whole output
MAX_WORK = 50_000_000  # product of the argument sizes of one string function


class TemplateRefusal(jinja2.TemplateError):
    """The template itself said no, with ``raise_exception``."""


class Template:
    """A compiled chat template. Raises `BaseModelError` if it is too long or not Jinja."""

    def __init__(self, source: str) -> None:
        size = len(source.encode("utf-8", "replace"))
        if size > MAX_BYTES:
            raise BaseModelError(
                f"the chat template has {size:,} bytes; the limit is {MAX_BYTES:,}",
                fix="Use a base with an ordinary chat template",
            )
        self._env = _Environment()
        try:
            tree = self._env.parse(source)
            _meter(tree, self._env)
            code = self._env.compile(tree)
            self._template = jinja2.Template.from_code(self._env, code, self._env.make_globals(None))
        except (jinja2.TemplateError, SyntaxError, RecursionError, MemoryError) as error:
            raise _unusable(error) from error

    def render(self, messages: Sequence[Mapping[str, str]], **variables: Any) -> str:
        """The text for `messages` (plain dicts with role and content).

        Raises `BaseModelError` where the template refuses the messages, fails, or goes over a budget.
        """
        self._env.start()
        try:
            pieces = self._template.generate(messages=list(messages), tools=None, documents=None, **variables)
            return "".join(pieces)
        except Exception as error:
            raise _unusable(error) from error


class _Environment(ImmutableSandboxedEnvironment):
    """transformers' dialect of Jinja (trimmed blocks, break/continue, generation marks), with budgets."""

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            finalize=self._written,
            extensions=[jinja2.ext.loopcontrols, _Generation],
        )
        self._steps = self._output = 0
        for name in ("format", "pprint", "xmlattr"):
            self.filters.pop(name)
        self.filters["tojson"] = _tojson
        self.filters = {name: _measured(function) for name, function in self.filters.items()}
        self.filters.update(_counted=self._counted, _tick=self._tick, _sized=_sized)
        self.globals.pop("lipsum")
        self.globals["raise_exception"] = _refuse
        self.globals["strftime_now"] = _strftime_now

    def start(self) -> None:
        """Begin a rendering with a full budget."""
        self._steps = self._output = 0

    @jinja2.pass_context  # a filter that wants the context is never folded away at compile time
    def _counted(self, context: Context, items: Iterable[Any]) -> list[Any]:
        listed = list(items)
        self._spend(len(listed))
        return listed

    @jinja2.pass_context
    def _tick(self, context: Context, nothing: str) -> str:
        self._spend(1)
        return nothing

    def _spend(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise SecurityError(f"it takes more than {MAX_STEPS:,} steps")

    def _written(self, value: Any) -> Any:
        self._output += len(value) if isinstance(value, str) else 0
        if self._output > MAX_TEXT:
            raise SecurityError(f"it writes more than {MAX_TEXT:,} characters")
        return value

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or (operator == "%" and isinstance(left, str) and re.search(r"[\d*]", left)):
            raise SecurityError(f"the operator {operator!r} is not allowed here")
        if operator == "*":
            _measure((left, right))
        return _sized(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, str | list | tuple):
            _measure((owner, *args, *kwargs.values()))
        return super().call(__context, __obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Any:
        if getattr(value, "__name__", "") in ("format", "format_map") and isinstance(
            getattr(value, "__self__", None), str
        ):
            raise SecurityError("str.format is not allowed here")
        return None


class _Generation(jinja2.ext.Extension):
    """``{% generation %}`` marks the assistant's part for trainers that need marks; we keep its body."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _meter(tree: nodes.Template, env: jinja2.Environment) -> None:
    """Put a counter into every loop and macro of a template, and a size check on every ``~``."""
    for loop in list(tree.find_all(nodes.For)):
        if loop.recursive:
            raise SecurityError("recursive loops are not allowed here")
        loop.iter = _filter(loop.iter, "_counted")
    blocks: list[nodes.Macro | nodes.CallBlock] = [
        *tree.find_all(nodes.Macro),
        *tree.find_all(nodes.CallBlock),
    ]
    for macro in blocks:
        tick = _filter(nodes.Const("", lineno=macro.lineno), "_tick")
        macro.body.insert(0, nodes.Output([tick], lineno=macro.lineno))
    for concat in list(tree.find_all(nodes.Concat)):
        whole = nodes.Concat(list(concat.nodes), lineno=concat.lineno)
        concat.nodes = [_filter(whole, "_sized")]
    tree.set_environment(env)


def _filter(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _size(value: Any) -> int:
    if isinstance(value, Sized):
        return max(1, len(value))
    return max(1, abs(value)) if isinstance(value, int) else 1


def _measure(arguments: Iterable[Any]) -> None:
    if math.prod(map(_size, arguments)) > MAX_WORK:
        raise SecurityError("it builds too large a string or number")


def _sized(value: Any) -> Any:
    if isinstance(value, str | list | tuple) and len(value) > MAX_TEXT:
        raise SecurityError(f"it builds a string of more than {MAX_TEXT:,} characters")
    return value


def _measured(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        listed = [list(item) if isinstance(item, Iterator) else item for item in args]
        _measure((*listed, *kwargs.values()))
        return function(*listed, **kwargs)

    return run


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _refuse(message: str) -> None:
    raise TemplateRefusal(str(message)[:300])


def _strftime_now(pattern: str) -> str:
    if len(pattern) > 64 or re.search(r"\d", pattern):
        raise SecurityError("that date format is not allowed here")
    return datetime.now().strftime(pattern)


def _unusable(error: BaseException) -> BaseModelError:
    said = " ".join(str(error).split())[:300] or type(error).__name__
    if isinstance(error, TemplateRefusal):
        return BaseModelError(
            f"the chat template refuses these turns: {said}",
            fix="Change the order of the roles in the data, or use another base",
        )
    return BaseModelError(
        f"the chat template cannot be used: {said}",
        fix="Use a base with an ordinary chat template",
    )
