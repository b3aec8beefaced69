"""Chat templates are untrusted code: run them where they cannot reach Python or use up the machine.

Jinja's sandbox keeps a template away from the interpreter, not from the clock or the memory. So loops,
calls and the size of every string have a budget: a small one, and more for long conversations. What a
template does with the text of a message keeps its origin (`rung.data.traced`).
"""

from __future__ import annotations

import functools
import math
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.filters import make_attrgetter
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from rung.data.traced import Traced, followed, joined, spans, to_json
from rung.errors import BaseModelError

MAX_BYTES = 32 * 1024  # of a template
MAX_STEPS = 20_000  # loop turns and macro calls of one rendering; 100 more for each message
MAX_TEXT = 200_000  # characters of any string and of the output; 4 more for each character of a message
MAX_WORK = 50_000_000  # product of the argument sizes of one string function; 64 more for each character


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
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python's, of what Jinja makes of odd templates
                code = self._env.compile(tree)
            self._template = jinja2.Template.from_code(self._env, code, self._env.make_globals(None))
        except Exception as error:  # Jinja lets Python's own errors through, as at a number of 5,000 digits
            raise _unusable(error) from error

    def render(self, messages: Sequence[Mapping[str, str]], **variables: Any) -> str:
        """The text for `messages` (plain dicts with role and content); a `Traced` content keeps its origin.

        Raises `BaseModelError` where the template refuses the messages, fails, or goes over a budget.
        """
        self._env.start(len(messages), sum(len(message["content"]) for message in messages))
        try:
            pieces = self._template.generate(messages=list(messages), tools=None, documents=None, **variables)
            return joined(pieces)
        except Exception as error:
            raise _unusable(error) from error


class _Environment(ImmutableSandboxedEnvironment):
    """transformers' dialect of Jinja (trimmed blocks, break/continue, generation marks), with budgets."""

    intercepted_binops = frozenset({"*", "**", "%", "+"})
    concat = staticmethod(joined)

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            finalize=self._written,
            extensions=[jinja2.ext.loopcontrols, _Generation],
        )
        self.start(0, 0)
        for name in ("format", "pprint", "xmlattr"):
            self.filters.pop(name)
        self.filters.update(tojson=_tojson, join=_join)
        self.filters = {name: self._measured(function) for name, function in self.filters.items()}
        self.filters.update(_counted=self._counted, _tick=self._tick, _joined=self._joined)
        self.globals.pop("lipsum")
        self.globals["raise_exception"] = _refuse
        self.globals["strftime_now"] = _strftime_now

    def start(self, messages: int, characters: int) -> None:
        """Begin a rendering of that many messages and characters with a full budget."""
        self._steps = self._output = 0
        self._most_steps = MAX_STEPS + 100 * messages
        self._most_text = MAX_TEXT + 4 * characters
        self._most_work = MAX_WORK + 64 * characters

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
        if self._steps > self._most_steps:
            raise SecurityError(f"it takes more than {self._most_steps:,} steps")

    def _written(self, value: Any) -> Any:
        self._output += len(value) if isinstance(value, str) else 0
        if self._output > self._most_text:
            raise SecurityError(f"it writes more than {self._most_text:,} characters")
        return value

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or (operator == "%" and isinstance(left, str) and re.search(r"[\d*]", left)):
            raise SecurityError(f"the operator {operator!r} is not allowed here")
        if operator == "*":
            self._measure((left, right))
        return self._sized(super().call_binop(context, operator, left, right))

    @jinja2.pass_context
    def _joined(self, context: Context, *parts: Any) -> Any:
        return self._sized(joined([str(part) for part in parts]))

    def _measure(self, arguments: Iterable[Any]) -> None:
        if math.prod(map(_size, arguments)) > self._most_work:
            raise SecurityError("it builds too large a string or number")

    def _sized(self, value: Any) -> Any:
        if isinstance(value, str | list | tuple) and len(value) > self._most_text:
            raise SecurityError(f"it builds a string of more than {self._most_text:,} characters")
        return value

    def _measured(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter with a budget; where one text has an origin, those it meets can keep it."""

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            listed = [list(item) if isinstance(item, Iterator) else item for item in args]
            self._measure((*listed, *kwargs.values()))
            if followed(listed):
                listed = [Traced(item, spans(item)) if isinstance(item, str) else item for item in listed]
            return function(*listed, **kwargs)

        return run

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, str | list | tuple):
            __self._measure((owner, *args, *kwargs.values()))
            if isinstance(owner, str) and not isinstance(owner, Traced) and followed(args):
                __obj = getattr(Traced(owner), __obj.__name__)
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
    """Put a counter into every loop and macro of a template, and our own joining into every ``~``."""
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
    _Joined().visit(tree)
    tree.set_environment(env)


class _Joined(NodeTransformer):
    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:
        self.generic_visit(node)
        return _filter(node.nodes[0], "_joined", node.nodes[1:])


def _filter(node: nodes.Node, name: str, args: Sequence[nodes.Expr] = ()) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)


def _size(value: Any) -> int:
    if hasattr(value, "__len__"):  # jinja's Context says it is Sized and has no length
        return max(1, len(value))
    return max(1, abs(value)) if isinstance(value, int) else 1


@jinja2.pass_environment
def _join(env: jinja2.Environment, value: Iterable[Any], d: str = "", attribute: Any = None) -> str:
    parts = value if attribute is None else map(make_attrgetter(env, attribute), value)
    return Traced(str(d), spans(d)).join(map(str, parts))


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return to_json(
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
