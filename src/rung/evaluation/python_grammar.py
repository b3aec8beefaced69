"""Python calls of what exists, as rules of a grammar in llguidance's notation.

A function can only be one that is offered. What is inside a call depends on what is known of it
(`rung.evaluation.offered`): a tool takes its own arguments, each once; a Python call of a catalogue holds
all texts of one entry, in any order, next to other arguments. Values are free, but always Python that can be
read.
"""

from __future__ import annotations

import keyword
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations

from rung.evaluation.json_grammar import Rules, literal, when
from rung.evaluation.offered import Api

Pin = tuple[str, str]  # a keyword, or "", and the text behind it
Done = frozenset[Pin]  # those that have been written
_BITS = 64  # arguments of a tool that are written once each
_PINNED = 4  # texts of an entry that come in any order; more come in the catalogue's
_TYPES = {
    "string": "STRING",
    "integer": "SIGN? WHOLE",
    "number": "SIGN? NUMBER",
    "boolean": "TRUTH",
    "array": "list",
    "object": "dict",
}
_STRING = r"(\\[^xuUN\n\r]|\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|[^{quote}\\\n\r\x00])*"
_WORDS = "|".join(one for one in keyword.kwlist if one not in ("True", "False", "None"))
_VALUES = rf"""
value: STRING | other
other: plain | operand (OP operand)+
operand: STRING | plain
plain: SIGN? atom tail* | STRING tail+
atom: NUMBER | NAME | list | dict | "(" GAP values? GAP ")" | "{{" GAP values GAP "}}"
list: "[" GAP values? GAP "]"
dict: "{{" GAP (pair (COMMA pair)* COMMA?)? GAP "}}"
values: value (COMMA value)* COMMA?
pair: value COLON value
tail: "." NAME | "(" GAP inner? GAP ")" | "[" value "]"
inner: values | (value COMMA)* named (COMMA named)* COMMA?
named: KEY EQ value
NAME: IDENTIFIER & ~KEYWORD
KEY: IDENTIFIER & ~/({_WORDS}|True|False|None)/
KEYWORD: /{_WORDS}/
IDENTIFIER: /[A-Za-z_][A-Za-z0-9_]*/
TRUTH: /[Tt]rue|[Ff]alse/
NUMBER: /(0|[1-9][0-9]{{0,30}})(\.[0-9]{{0,30}})?([eE][-+]?[0-9]{{1,3}})?/
WHOLE: /(0|[1-9][0-9]{{0,30}})(\.0)?/
STRING: /'{_STRING.replace("{quote}", "'")}'/ | /"{_STRING.replace("{quote}", '"')}"/
SIGN: "-"
OP: / ?[-+*\/%] ?/
"""
_LOOSE_SPACES = r"""
EQ: / ?= ?/
COLON: /[ \n]?:[ \n]?/
COMMA: /[ \n]{0,8},[ \n]{0,8}/
GAP: /[ \n]{0,8}/
"""
_SPACES = r"""
EQ: /=| = /
COLON: /: ?/
COMMA: /, ?/
GAP: / ?/
"""


class PythonWriter(Rules):
    """Collects the rules of calls. With `strict`, arguments of tools have their types and required ones are
    there. Texts of a catalogue then have its keywords and come before other arguments, which have keywords
    that stand before no text in the catalogue: else a base that knows nothing of it writes arguments without
    end. Calls are on one line.
    """

    def __init__(self, strict: bool) -> None:
        super().__init__("p", [_VALUES, _SPACES if strict else _LOOSE_SPACES])
        self.strict = strict

    def calls(self, functions: Mapping[str, Sequence[Api]]) -> str:
        """The name of the rule of a call of one of these functions."""
        inside: dict[str, list[str]] = {}
        for name, apis in functions.items():
            tools = [self._tool(api) for api in apis if api.tool][:1]
            others = [api for api in apis if not api.tool]
            body = " | ".join([*tools, *([self._entries(others)] if others else [])])
            inside.setdefault(body, []).append(f"{name}(")
        calls = [f'{self._terminal(names)} GAP ({body}) GAP ")"' for body, names in inside.items()]
        return self._rule(_choices("", calls))

    # --- tools --------------------------------------------------------------------------------------

    def _tool(self, api: Api) -> str:
        if api.arguments is None:
            return self._entries([api])
        keys = sorted(api.arguments)
        if not keys:
            return '""'
        pairs = [self._rule(f"{literal(key)} EQ ({self._value(api.types.get(key, ''))})") for key in keys]
        if len(keys) > _BITS:
            one = " | ".join(pairs)
            return self._rule(f'"" | ({one}) (COMMA ({one}))* COMMA?')
        needed = [bit for bit, key in enumerate(keys) if self.strict and key in api.required]
        first, more = self._name(), self._name()
        once = [(f"{pair} {more}::set_bit({bit})", bit) for bit, pair in enumerate(pairs)]
        placed = [] if self.strict else [f"value {more}::_"]
        self.rules.append(_choices(f"{first}::_", [*placed, *(pair for pair, _ in once)]))
        ends = f"COMMA?{when([f'bit_set({bit})' for bit in needed])}"
        again = [f"COMMA {pair}{when([f'bit_clear({bit})'])}" for pair, bit in once]
        self.rules.append(_choices(f"{more}::_", [ends, *(f"COMMA {one}" for one in placed), *again]))
        return f"{first}::0x0" if needed else f'"" | {first}::0x0'

    def _value(self, kind: str) -> str:
        return f'{_TYPES[kind]} | "None"' if self.strict and kind else "value"

    # --- calls of a catalogue -----------------------------------------------------------------------

    def _entries(self, apis: Sequence[Api]) -> str:
        """The arguments of one of these entries.

        A rule stands for the texts that have been written; after them may come the others of the entries
        that have all of these.
        """
        sets = [_pins(api, self.strict) for api in apis]
        keys = sorted({key for pins in sets for key, _ in pins if key.isidentifier()})
        extra = self._extra(keys, any(sets))
        after: dict[Done, set[Pin]] = {frozenset(): set()}
        for pins in sets:
            for done in _orders(pins):
                left = [one for one in pins if one not in done]
                after.setdefault(done, set()).update(left if len(pins) <= _PINNED else left[:1])
        whole = {frozenset(pins) for pins in sets}
        names = {done: self._name() for done in after}
        opening = ""
        for done, following in after.items():
            more = [f"{extra} {names[done]}"] if done in whole or not self.strict else []
            nexts = self._rule(_choices("", [*self._texts(done, following, names), *more]))
            ends = ["COMMA?", 'COMMA "**" value COMMA?'] if done in whole else []
            self.rules.append(_choices(names[done], [*ends, f"COMMA {nexts}"]))
            if not done:
                opening = nexts if done not in whole else f'"" | "**" value COMMA? | {nexts}'
        return opening

    def _texts(self, done: Done, following: Collection[Pin], names: Mapping[Done, str]) -> Iterator[str]:
        """One more of the texts, those behind the same keyword together; a parser has a limit of choices."""
        for key in sorted({key for key, _ in following}):
            texts = sorted(text for other, text in following if other == key)
            ends = [
                f"{self._terminal((repr(one), literal(one)))} {names[done | {(key, one)}]}" for one in texts
            ]
            before = f"{literal(key)} EQ" if key else "" if self.strict else "(KEY EQ)?"
            yield f"{before} {self._rule(_choices('', ends))}"

    def _extra(self, keys: Sequence[str], pinned: bool) -> str:
        """An argument besides the texts of an entry."""
        if not self.strict or not pinned:
            return self._rule("(KEY EQ)? value")
        if not keys:
            return self._rule("KEY EQ value")
        taken = "|".join(keys)
        free = self._name().upper()
        self.rules.append(f"{free}: KEY & ~/{taken}/")
        known = " | ".join(literal(key) for key in keys)
        return self._rule(f"{free} EQ value | ({known}) EQ other")

    # --- rules --------------------------------------------------------------------------------------

    def _terminal(self, texts: Sequence[str]) -> str:
        """One of these texts."""
        return self._rule(" | ".join(map(literal, dict.fromkeys(texts))), terminal=True)


def _pins(api: Api, strict: bool) -> tuple[Pin, ...]:
    return api.pins if strict else tuple(("", text) for text in sorted(api.texts))


def _orders(pins: Sequence[Pin]) -> list[Done]:
    """What may have been written of an entry's texts at some time."""
    if len(pins) > _PINNED:
        return [frozenset(pins[:end]) for end in range(len(pins) + 1)]
    return [frozenset(some) for n in range(len(pins) + 1) for some in combinations(pins, n)]


def _choices(name: str, bodies: Sequence[str]) -> str:
    return (f"{name}: " if name else "") + "\n    | ".join(bodies)
