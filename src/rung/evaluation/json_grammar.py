"""A JSON Schema as a grammar for answers, in the notation of llguidance (Lark, with ``%json``).

Keys come in any order and each at most once, as in train: a rule has a number whose bits say which keys have
been written. The spaces are those of the train targets, since a tuned model has learned them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rung.evaluation.schema import ORDER

_BITS = 64  # keys of an object whose order is free: the number of a rule has so many bits
_OBJECT = {"type", "properties", "required", "additionalProperties", "maxProperties", ORDER}
_ARRAY = {"type", "items"}
_SPACE = "ws"


@dataclass(frozen=True, slots=True)
class Style:
    """How JSON is written. With an `indent`, every item is on a line of its own; with `ascii`, other
    letters are escapes such as ``\\u00e9``."""

    item: str = ", "
    key: str = ": "
    indent: int | None = None
    ascii: bool = False

    def text(self, value: Any) -> str:
        """`value` in this style."""
        separators = (self.item, self.key)
        return json.dumps(value, indent=self.indent, separators=separators, ensure_ascii=self.ascii)


STYLES = (
    Style(),
    Style(",", ":"),
    Style(",", ": "),
    *(Style(",", ": ", indent) for indent in (2, 4, 1, 3)),
)


def style_of(texts: Sequence[str]) -> Style | None:
    """The style of most of these JSON texts; None where fewer than half have the same one."""
    found: Counter[Style] = Counter()
    for text in texts:
        try:
            value = json.loads(text)
        except ValueError:  # JSON with words around it
            continue
        for style in (*STYLES, *(replace(one, ascii=True) for one in STYLES)):
            found[style] += text.strip() == style.text(value)
    best = found.most_common(1)
    return best[0][0] if best and 2 * best[0][1] >= len(texts) else None


def grammar_of(schema: Mapping[str, Any], style: Style | None) -> str:
    """The grammar of the texts that keep to `schema`, written in `style`; any spaces where it is None.

    A few spaces and line breaks may come first and a line break last, as some chat templates put them.
    Objects with more than 64 keys have them in the schema's order.
    """
    top, rules = rules_of(schema, style)
    return "\n".join([starting(top), *rules]) + "\n"


def rules_of(schema: Mapping[str, Any], style: Style | None, depth: int = 0) -> tuple[str, list[str]]:
    """The rule of these texts by its name, ``r`` and a number, and all rules that it needs; `depth` is how
    many lists and objects are around them."""
    writer = _Writer(schema, style)
    return writer.value(schema, depth), writer.rules


def starting(body: str) -> str:
    """The rule at which a grammar starts, with the spaces around an answer."""
    return rf"start: /[ \n]{{0,2}}/ ({body}) /\n?/"


class Rules:
    """Rules of one grammar; equal ones are written once. `letter` begins their names."""

    def __init__(self, letter: str, rules: Sequence[str]) -> None:
        self.rules = list(rules)
        self._letter = letter
        self._names = 0
        self._known: dict[str, str] = {}  # body -> name

    def _name(self) -> str:
        self._names += 1
        return f"{self._letter}{self._names}"

    def _rule(self, body: str, terminal: bool = False) -> str:
        """The name of the rule with this body; that of a terminal is in capitals."""
        if body not in self._known:
            name = self._name()
            name = self._known[body] = name.upper() if terminal else name
            self.rules.append(f"{name}: {body}")
        return self._known[body]


class _Writer:
    """Collects the rules of one grammar."""

    def __init__(self, root: Mapping[str, Any], style: Style | None) -> None:
        self.style = style
        self.rules: list[str] = [] if style else [rf"{_SPACE}: /[ \t\r\n]{{0,80}}/"]
        self._shared = {name: root[name] for name in ("$defs", "definitions") if name in root}
        self._names = 0

    def value(self, node: Any, depth: int) -> str:
        """The name of the rule of a value."""
        if isinstance(node, Mapping):
            if _is(node, "object", _OBJECT) and _is_closed(node):
                return self._object(node, depth)
            if _is(node, "array", _ARRAY) and isinstance(node.get("items"), Mapping):
                return self._array(node["items"], depth)
            if set(node) == {"anyOf"}:
                return self._rule(" | ".join(self.value(one, depth) for one in node["anyOf"]))
            if "enum" in node and set(node) <= {"type", "enum"} and all(map(_is_leaf, node["enum"])):
                return self._rule(" | ".join(self._fixed(one) for one in node["enum"]))
        return self._rule(self._json(node))

    def _json(self, node: Any) -> str:
        """A value that llguidance writes by itself."""
        whole = {"allOf": [node]} if isinstance(node, bool) else dict(node)
        inside = self.style is None or self.style.indent is not None
        options: dict[str, Any] = {"whitespace_flexible": inside, "json_allow_general_unicode_escapes": True}
        if not inside and self.style is not None:
            options |= {"item_separator": self.style.item, "key_separator": self.style.key}
        return f"%json {json.dumps({**self._shared, **whole, 'x-guidance': options})}"

    def _object(self, node: Mapping[str, Any], depth: int) -> str:
        """Pairs, of which each bit of the rules' number says whether it has been written."""
        first = [key for key in node.get(ORDER, ()) if key in node["properties"]]
        keys = [*first, *(key for key in node["properties"] if key not in first)]
        needed = [place for place, key in enumerate(keys) if key in set(node.get("required", ()))]
        most = min(node.get("maxProperties", _BITS), len(keys))
        pairs, conditions = [], []
        for place, key in enumerate(keys):
            value = self.value(node["properties"][key], depth + 1)
            pairs.append(self._rule(f"{self._fixed(key)} {self._colon()} {value}"))
            before = [f"bit_set({other})" for other in needed if other < min(place, len(first))]
            free = f"is_zeros([{place}:{_BITS}])" if place < len(first) else f"bit_clear({place})"
            conditions.append([free, *before])
        full = [f"bit_count_lt(_, {most})"] if most < len(keys) else []
        start, more = self._name(), self._name()
        between = self._gap(depth, ",")
        self.rules.append(
            "\n    | ".join(
                [f'{more}::_: ""{when([f"bit_set({place})" for place in needed])}']
                + [
                    f"{between} {pair} {more}::set_bit({place}){when([*condition, *full])}"
                    for place, (pair, condition) in enumerate(zip(pairs, conditions, strict=True))
                ]
            )
        )
        self.rules.append(
            f"{start}::_: "
            + "\n    | ".join(
                f"{pair} {more}::set_bit({place}){when(condition)}"
                for place, (pair, condition) in enumerate(zip(pairs, conditions, strict=True))
            )
        )
        whole = f"{self._gap(depth, '{')} {start}::0x0 {self._gap(depth - 1, '', '}')}"
        return self._rule(whole if needed else f'{whole} | "{{}}"')

    def _array(self, items: Mapping[str, Any], depth: int) -> str:
        item = self.value(items, depth + 1)
        opening, closing = self._gap(depth, "["), self._gap(depth - 1, "", "]")
        return self._rule(f'"[]" | {opening} {item} ({self._gap(depth, ",")} {item})* {closing}')

    def _fixed(self, value: Any) -> str:
        """A key, or one of a few values."""
        return literal(json.dumps(value, ensure_ascii=self.style is not None and self.style.ascii))

    def _colon(self) -> str:
        return f'{_SPACE} ":" {_SPACE}' if self.style is None else literal(self.style.key)

    def _gap(self, depth: int, before: str, after: str = "") -> str:
        """What stands between items of an object or list `depth` levels down: a mark and spaces."""
        if self.style is None:
            parts = [literal(before)] if before else []
            return " ".join(
                [*([_SPACE] if before == "," else []), *parts, _SPACE, *([literal(after)] if after else [])]
            )
        if self.style.indent is not None:
            return literal(f"{before}\n{' ' * (self.style.indent * (depth + 1))}{after}")
        return literal((self.style.item if before == "," else before) + after)

    def _name(self) -> str:
        self._names += 1
        return f"r{self._names}"

    def _rule(self, body: str) -> str:
        name = self._name()
        self.rules.append(f"{name}: {body}")
        return name


def _is_leaf(value: Any) -> bool:
    return value is None or isinstance(value, str | bool | int)


def _is(node: Mapping[str, Any], kind: str, keywords: set[str]) -> bool:
    return node.get("type") == kind and set(node) <= keywords


def _is_closed(node: Mapping[str, Any]) -> bool:
    inner = node.get("properties")
    closed = node.get("additionalProperties") is False and isinstance(inner, Mapping)
    return closed and 0 < len(inner or ()) <= _BITS and set(node.get("required", ())) <= set(inner or ())


def when(conditions: Sequence[str]) -> str:
    """All of these conditions, behind a way to write something."""
    if not conditions:
        return ""
    found = conditions[-1]
    for condition in reversed(conditions[:-1]):
        found = f"and({condition}, {found})"
    return f" %if {found}"


def literal(text: str) -> str:
    """Exactly this text."""
    return json.dumps(text, ensure_ascii=False)
