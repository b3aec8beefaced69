"""A catalogue of APIs (`--apis`): what can be called, and the documentation of each.

A row is an OpenAI tool (``{"type": "function", "function": {"name", "description", "parameters"}}``, or the
inner object alone, or one as MCP writes it), or a call or command with its documentation (``{"api_call":
"hub.load(...)", "description": ...}``, ``{"command": "git commit", "options": ...}``).  A catalogue is data:
no ``$ref`` in it is followed and nothing is run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rung.data import names
from rung.data.reading import open_rows
from rung.data.strict_json import Row, RowError, show
from rung.data.values import unpacked

MOST: Final = 20_000  # entries
_CALLS = ("apicall", "call", "command", "cmd", "usage", "signature", "api", "function", "name", "apiname")
_SCHEMAS = ("parameters", "input_schema", "inputSchema", "arguments")
_TYPES: Final = {
    **dict.fromkeys(("string", "str"), "string"),
    **dict.fromkeys(("integer", "int", "long"), "integer"),
    **dict.fromkeys(("number", "float", "double"), "number"),
    **dict.fromkeys(("boolean", "bool"), "boolean"),
    **dict.fromkeys(("array", "list", "tuple", "arraylist"), "array"),
    **dict.fromkeys(("object", "dict", "hashmap"), "object"),
}
_FLAG = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")
_FIX = 'Write {"api_call": …, "description": …} in each row, or OpenAI tools'


@dataclass(frozen=True, slots=True)
class Entry:
    """One API."""

    call: str  # "torch.hub.load('repo', 'model')", "kubectl get", or the name of a tool
    text: str  # its documentation: all that its row says, a line for each key
    arguments: tuple[str, ...] | None = None  # names that a call may use; None: any
    types: tuple[str, ...] = ()  # of `arguments`, in JSON's words; "" where it may be any
    required: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()  # that its row mentions
    tool: bool = False  # it has a schema of its arguments

    def as_json(self) -> dict[str, Any]:
        """What grading needs of it."""
        found: dict[str, Any] = {"call": self.call}
        if self.tool:
            known = {"arguments": self.arguments, "types": list(self.types), "required": list(self.required)}
            return found | {"tool": True} | known
        return found | ({"flags": list(self.flags)} if self.flags else {})


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The entries of one file, in their order."""

    name: str
    sha256: str
    entries: tuple[Entry, ...]

    def facts(self) -> dict[str, Any]:
        """As JSON for ``Task.facts["apis"]``, without the documentation."""
        entries = [entry.as_json() for entry in self.entries]
        return {"file": self.name, "sha256": self.sha256, "entries": entries}


def read_catalogue(path: Path) -> Catalogue:
    """The catalogue in a file of any kind that holds rows.

    Raises `DataError` for a file without rows, for rows that name no API and for more than `MOST` of them.
    """
    source = open_rows(path, names.is_name)
    entries: list[Entry] = []
    for number, row in source:
        try:
            entries.append(entry_of(row))
        except RowError as error:
            source.problems.add(number, error)
    source.problems.raise_any()
    if not entries:
        source.fail("holds no APIs", fix=_FIX)
    if len(entries) > MOST:
        source.fail(
            f"holds {len(entries):,} APIs; {MOST:,} is the most", fix="Leave out those that no row calls"
        )
    return Catalogue(source.name, source.sha256, tuple(entries))


def entry_of(row: Row) -> Entry:
    """One row of a catalogue. Raises `RowError`."""
    if tool := tool_of(row):
        return tool
    keys = {names.plain(key): key for key in row}
    for plain in _CALLS:
        value = row.get(keys.get(plain, ""))
        if isinstance(value, str) and value.strip():
            text = _documentation(row)
            flags = () if "(" in value else tuple(dict.fromkeys(_FLAG.findall(text)))
            return Entry(value.strip(), text, flags=flags)
    raise RowError(f"names no API (it has {', '.join(map(show, list(row)[:8])) or 'nothing'})", _FIX)


def tool_of(value: Any, named: bool = False) -> Entry | None:
    """A tool with a schema of its arguments, in the form of OpenAI, Anthropic, MCP, xLAM or the Berkeley
    leaderboard; None where `value` is none. Where it may be `named` alone, it needs no schema."""
    if not isinstance(value, Mapping):
        return None
    inner = unpacked(value.get("function"))
    tool: Mapping[str, Any] = inner if isinstance(inner, dict) else value
    name = tool.get("name")
    schema = next((unpacked(tool[key]) for key in _SCHEMAS if key in tool), None)
    if not isinstance(name, str) or not name.strip() or "(" in name:
        return None
    if not isinstance(schema, dict):
        bare = named or isinstance(inner, dict)
        return Entry(name.strip(), _documentation(tool), tool=True) if bare else None
    properties = schema.get("properties")
    if properties is None and schema and all(isinstance(one, dict) for one in schema.values()):
        properties = schema  # xLAM has no object around them
    required = schema.get("required")
    listed = tuple(one for one in required if isinstance(one, str)) if isinstance(required, list) else ()
    closed = isinstance(properties, dict) and not schema.get("additionalProperties")
    arguments = tuple(map(str, properties)) if closed and isinstance(properties, dict) else None
    types = tuple(_type_of(properties[one]) for one in arguments) if arguments and properties else ()
    return Entry(name.strip(), _documentation(tool), arguments, types, listed, tool=True)


def _type_of(schema: Any) -> str:
    """The type of an argument in JSON's words; "" where the schema names none, several or another one."""
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    return _TYPES.get(kind.lower(), "") if isinstance(kind, str) else ""


def tools_of(value: Any) -> list[Any]:
    """The tools in a cell: a list, one object, or either as text; [] where it holds none that has a name."""
    value = unpacked(value)
    if isinstance(value, dict) and tool_of(value, named=True) is None:
        value = next((value[key] for key in ("tools", "functions") if key in value), [])
    listed = value if isinstance(value, list) else [value]
    listed = [unpacked(one) for one in listed]
    return listed if all(tool_of(one, named=True) for one in listed) else []


def _documentation(row: Mapping[str, Any]) -> str:
    """All that a row says, a line for each key that has a value."""
    cells = ((key, value) for key, value in row.items() if value not in (None, "", [], {}))
    return "\n".join(
        f"{key}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)}"
        for key, value in cells
    )
