"""Answers kept to what exists: a grammar of calls, made from the tools of a row or from a catalogue.

What exists is what grading says (`rung.evaluation.offered`). How calls are written is learned from train: as
Python, JSON or commands, how many in an answer, and how strict a grammar can be that takes all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, Final

from rung.evaluation.calls import Call, read_calls
from rung.evaluation.command_grammar import CommandWriter
from rung.evaluation.commands import THEN
from rung.evaluation.json_calls import is_json
from rung.evaluation.json_grammar import Style, rules_of, starting, style_of
from rung.evaluation.offered import Api, Offered
from rung.evaluation.python_grammar import PythonWriter
from rung.evaluation.schema import ORDER
from rung.records import Example

MOST: Final = 1_000  # APIs in a grammar; llguidance keeps at most 2,000 ways to go on
LONGEST: Final = 700_000  # characters of a grammar: about 0.5 s until it can be used
_READ = 10_000  # train rows that are read
_LOOKED = 1000  # different train rows that a grammar is tried on
_TAKEN = 0.99  # share of them that the less strict grammar takes at least
_ARGUMENTS = ("arguments", "parameters", "args")
_PYTHON_LIST = re.compile(r"\[\s*[A-Za-z_]")
_SHARED = 60  # tools in a grammar that train rows are tried on
_ASSIGNED = re.compile(r"\w+ ?= ?[A-Za-z_]")


@dataclass(frozen=True, slots=True)
class CallForm:
    """How calls are written in train."""

    kinds: tuple[str, ...]  # "python", "command", "json"
    strict: bool = True
    most: int = 1  # calls of an answer
    pipes: int = 0  # commands behind a command
    assigned: bool = False  # whether there are ``name = f(x)``
    listed: bool = False  # whether calls stand in a list
    key: str = "arguments"  # before the arguments of a call in JSON
    style: Mapping[str, Any] | None = None  # how JSON is spaced, see `Style`

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"kinds": list(self.kinds)}

    @staticmethod
    def of_json(kept: Mapping[str, Any]) -> CallForm:
        return CallForm(**{**kept, "kinds": tuple(kept["kinds"])})


@dataclass(frozen=True, slots=True)
class Row:
    """A train row whose target calls only what is offered to it."""

    text: str
    calls: tuple[Call, ...]
    offered: Offered
    own: bool  # whether the row brings tools of its own

    @property
    def kind(self) -> str:
        """How its calls are written."""
        as_json = is_json(self.text) and not _PYTHON_LIST.match(self.text)
        return "json" if as_json else self.calls[0].form


def learn_form(
    train: Sequence[Example], offered_to: Callable[[Example], Offered], functions: Collection[str]
) -> CallForm | None:
    """The form of the train targets that can be read and call only what exists.

    The strict grammar is taken where it takes all of them (1,000 are tried at most), else the other one where
    it takes 99 %. None where neither does, where a grammar would be too long, and where nothing is offered.
    """
    rows: dict[tuple[str, str], Row] = {}
    for example in train[:: -(-len(train) // _READ) or 1]:
        text, offered, own = example.target.strip(), offered_to(example), example.facts.get("tools")
        calls = read_calls(text, functions) if offered else ()
        if calls and not any(map(offered.made_up, calls)):
            rows.setdefault((text, repr(own)), Row(text, calls, offered, bool(own)))
    if not rows:
        return None
    form = _seen(list(rows.values()))
    some = list(rows.values())[:: -(-len(rows) // _LOOKED)]
    for strict, least in ((True, 1.0), (False, _TAKEN)):
        tried = replace(form, strict=strict)
        taken = 0
        for offered, texts in _together(some):
            grammar = grammar_of_calls(offered, tried)
            taken += sum(takes(grammar, text) for text in texts)
        if taken >= least * len(some):
            return tried
    return None


def grammar_of_calls(offered: Offered, form: CallForm) -> str:
    """The grammar of calls of what is offered; empty where that has no calls of this form, or is too much."""
    if too_many(offered):
        return ""
    bodies: list[str] = []
    rules: list[str] = []
    for kind in form.kinds:
        body, more = _KINDS[kind](offered, form)
        if body:
            bodies.append(body)
            rules += more
    text = "\n".join([starting(" | ".join(bodies)), *rules]) + "\n"
    return text if bodies and len(text) <= LONGEST else ""


def too_many(offered: Offered) -> bool:
    """Whether this is more than a grammar can hold."""
    return max(sum(map(len, offered.functions.values())), len(offered.commands)) > MOST


def takes(grammar: str, text: str) -> bool:
    """Whether the whole of `text` is in `grammar`; an empty one has nothing in it."""
    if not grammar:
        return False
    tokens, whole = _compiled(grammar)
    matcher = whole.deep_copy()
    ids = tokens.tokenize_str(text)
    return bool(
        matcher.validate_tokens(ids) == len(ids) and matcher.consume_tokens(ids) and matcher.is_accepting()
    )


@lru_cache(maxsize=2)
def _compiled(grammar: str) -> tuple[Any, Any]:
    """A tokenizer whose tokens are bytes, and the grammar for it."""
    from llguidance import LLMatcher, LLTokenizer

    tokens = LLTokenizer("byte")
    return tokens, LLMatcher(tokens, LLMatcher.grammar_from_lark(grammar), log_level=0)


def _together(rows: Sequence[Row]) -> Iterator[tuple[Offered, list[str]]]:
    """What is offered to rows, and their texts. Rows with tools of their own share a grammar of those that
    they call, since the grammar of each row alone would take several milliseconds."""
    texts = [row.text for row in rows if not row.own]
    if texts:
        yield next(row.offered for row in rows if not row.own), texts
    tools: dict[str, tuple[Api, ...]] = {}
    texts = []
    for row in rows:
        if not row.own:
            continue
        called = {call.name: row.offered.functions[call.name] for call in row.calls}
        if len(tools) > _SHARED or any(tools.get(name, apis) != apis for name, apis in called.items()):
            yield Offered(tools), texts
            tools, texts = {}, []
        tools |= called
        texts.append(row.text)
    if texts:
        yield Offered(tools), texts


def _seen(rows: Sequence[Row]) -> CallForm:
    """What these rows show, besides how strict a grammar can be."""
    objects = [row.text for row in rows if row.kind == "json"]
    counts = [sum(call.joint == THEN for call in row.calls) for row in rows]
    keys = [key for text in objects for key in _ARGUMENTS if f'"{key}"' in text]
    style = style_of(objects)
    return CallForm(
        kinds=tuple(sorted({row.kind for row in rows})),
        most=max(counts) + (max(counts) > 1),
        pipes=max(len(row.calls) - count for row, count in zip(rows, counts, strict=True)),
        assigned=any(_ASSIGNED.match(row.text) for row in rows),
        listed=any(row.text.startswith("[") for row in rows),
        key=max(_ARGUMENTS, key=keys.count),
        style=asdict(style) if style else None,
    )


# --- one way of writing calls each: the body of a rule, and the rules that it needs ------------------


def _python(offered: Offered, form: CallForm) -> tuple[str, list[str]]:
    if not offered.functions:
        return "", []
    writer = PythonWriter(form.strict)
    call = writer.calls(offered.functions)
    one = f"(NAME EQ)? {call}" if form.assigned else call
    several = _several(one, r"/;? ?\n{1,2}|; ?/", form.most)
    if form.listed:
        several += f' | "[" GAP {_several(call, "COMMA", form.most)} GAP "]"'
    return several, writer.rules


def _command(offered: Offered, form: CallForm) -> tuple[str, list[str]]:
    if not offered.commands:
        return "", []
    writer = CommandWriter(form.strict)
    return _several(writer.calls(offered.commands, form.pipes), r"/\n| && |; /", form.most), writer.rules


def _json(offered: Offered, form: CallForm) -> tuple[str, list[str]]:
    """Calls of tools; what tells calls of a catalogue apart has no place in a schema."""
    tools = [api for apis in offered.functions.values() for api in apis[:1]]
    if not tools or not all(api.tool for api in tools):
        return "", []
    style = Style(**form.style) if form.style else None
    top, rules = rules_of({"anyOf": [_schema(api, form) for api in tools]}, style, int(form.listed))
    if form.listed:
        space = r"[ \n]{0,8}"
        return rf"/\[{space}/ {_several(top, f'/{space},{space}/', form.most)} /{space}\]/", rules
    return _several(top, r"/\n/", form.most), rules


def _schema(api: Api, form: CallForm) -> dict[str, Any]:
    values: dict[str, Any] = {"type": "object", "additionalProperties": False}
    if api.arguments is not None:
        known = api.types if form.strict else {}
        keys = sorted(api.arguments)
        values |= {
            "properties": {key: {"type": [known[key], "null"]} if key in known else {} for key in keys},
            "required": sorted(api.required & api.arguments) if form.strict else [],
        }
    else:
        values["patternProperties"] = {r"^[A-Za-z_]\w*$": {}}
    return {
        "type": "object",
        "properties": {"name": {"enum": [api.name]}, form.key: values},
        "required": ["name", form.key],
        "additionalProperties": False,
        ORDER: ["name", form.key],
    }


def _several(one: str, between: str, most: int) -> str:
    return one if most < 2 else f"({one}) ({between} ({one})){{0,{most - 1}}}"


_KINDS: Final[Mapping[str, Callable[[Offered, CallForm], tuple[str, list[str]]]]] = {
    "python": _python,
    "command": _command,
    "json": _json,
}
