"""What there is to call, the tools of a row or a catalogue: which API a call is of, what in it is made up.

An entry is one of three kinds:

- a tool has a schema: its name is the API, and an argument that the schema does not have is made up;
- a Python call of a catalogue is the API together with the texts in it: ``hub.load('repo', 'net')`` is
  another one than ``hub.load('repo', 'other')``.  A call is of an API if it has the same function and all of
  these texts, wherever they stand (after the matching of subtrees in Gorilla, arXiv 2305.15334);
- a command is the program and its subcommands; a flag that its documentation does not mention is made up,
  where it mentions any.  What an entry of the program alone mentions, all its subcommands have.  A command
  behind a pipe whose program the catalogue does not have at all (``| grep x``) is not judged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from rung.data.catalogue import Entry, tool_of
from rung.evaluation.calls import Call, arguments_of, name_of_call, read_calls
from rung.evaluation.commands import arrange
from rung.evaluation.python_calls import pins_in, texts_in
from rung.records import Example, Task

_WORD = re.compile(r"[a-z][\w.:+-]*")


@dataclass(frozen=True, slots=True)
class Api:
    """One thing that can be called."""

    name: str  # as it is shown: the function with the texts that pin it down, or the command
    texts: frozenset[str] = frozenset()  # of a Python call
    pins: tuple[tuple[str, str], ...] = ()  # (keyword in the catalogue or "", text) of each of `texts`
    arguments: frozenset[str] | None = None  # that a tool takes; None: any
    types: Mapping[str, str] = field(default_factory=dict, hash=False)  # of arguments, in JSON's words
    required: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()  # of a command; none: any
    tool: bool = False


@dataclass(frozen=True, slots=True)
class Offered:
    """Everything that can be called, by the name of the function or the words of the command."""

    functions: Mapping[str, tuple[Api, ...]] = field(default_factory=dict)
    commands: Mapping[tuple[str, ...], Api] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.functions or self.commands)

    @property
    def tools(self) -> bool:
        """Whether all of it are tools, whose calls in one answer have no order."""
        return bool(self.functions) and all(api.tool for apis in self.functions.values() for api in apis)

    @property
    def required(self) -> Mapping[str, frozenset[str]]:
        """The arguments that each tool requires."""
        return {name: apis[0].required for name, apis in self.functions.items() if apis[0].tool}

    def api_of(self, call: Call) -> Api | None:
        """The API that a call is of; None where there is none. Of several the one with most texts."""
        if call.form == "command":
            return self._command(arrange(call.tokens).words)
        said = texts_in(call.tokens[0])
        fitting = [api for api in self.functions.get(call.name, ()) if api.texts <= said]
        return max(fitting, key=lambda api: len(api.texts), default=None)

    def made_up(self, call: Call) -> list[str]:
        """What a call names that does not exist: the API, or arguments and flags of one that does."""
        api = self.api_of(call)
        if api is None:
            return [] if call.joint == "|" and not self._has_program(call) else [self.name(call)]
        if call.form == "command":
            program = self.commands.get(call.tokens[:1])
            known = api.flags | (program.flags if program else frozenset())
            flags = dict.fromkeys(name for name, _ in arrange(call.tokens).flags)
            return [f"{name} of {api.name}" for name in flags if api.flags and name not in known]
        if api.arguments is None:
            return []
        named = (name for name in arguments_of(call) if not name.startswith("argument ") and name != "**")
        return [f"{name} of {api.name}" for name in named if name not in api.arguments]

    def name(self, call: Call) -> str:
        """The API of a call as it is shown; the call's own name where there is none."""
        api = self.api_of(call)
        return api.name if api else call.name if self.tools or not self else shown(call)

    def _has_program(self, call: Call) -> bool:
        return any(words[0] == call.tokens[0] for words in self.commands)

    def _command(self, words: tuple[str, ...]) -> Api | None:
        """The longest command that `words` begin with; a program alone only where it has no subcommands."""
        lengths = (length for length in range(len(words), 0, -1) if words[:length] in self.commands)
        length = next(lengths, 0)
        parted = any(len(known) > 1 and known[0] == words[0] for known in self.commands)
        if not length or (length == 1 < len(words) and parted):
            return None
        return self.commands[words[:length]]


def shown(call: Call) -> str:
    """A call by its name and, of a Python call, the texts among its arguments."""
    if call.form == "command":
        return call.name
    texts = ", ".join(map(repr, sorted(texts_in(call.tokens[0]))))
    return f"{call.name}({texts})" if texts else call.name


def offered_to(task: Task, example: Example) -> Offered:
    """The row's own tools, else those of the catalogue, else nothing."""
    if tools := example.facts.get("tools"):
        return indexed([entry for tool in tools if (entry := tool_of(tool, named=True))])
    return catalogue_of(task)


def catalogue_of(task: Task) -> Offered:
    """What the catalogue of a task offers; nothing where it has none."""
    apis = task.facts.get("apis")
    if not apis:
        return Offered()
    found = _KEPT.get(apis["sha256"])
    if found is None:
        _KEPT.clear()
        found = _KEPT[apis["sha256"]] = indexed([_entry(one) for one in apis["entries"]])
    return found


_KEPT: dict[str, Offered] = {}  # the last one, by its file's sha256


def _entry(kept: Mapping[str, Any]) -> Entry:
    arguments = kept.get("arguments")
    return Entry(
        call=kept["call"],
        text="",
        arguments=None if arguments is None else tuple(arguments),
        types=tuple(kept.get("types", ())),
        required=tuple(kept.get("required", ())),
        flags=tuple(kept.get("flags", ())),
        tool=bool(kept.get("tool")),
    )


def indexed(entries: Sequence[Entry]) -> Offered:
    """What these entries offer."""
    functions: dict[str, tuple[Api, ...]] = {}
    commands: dict[tuple[str, ...], Api] = {}
    for entry in entries:
        if entry.tool:
            arguments = None if entry.arguments is None else frozenset(entry.arguments)
            types = {name: one for name, one in zip(entry.arguments or (), entry.types, strict=False) if one}
            required = frozenset(entry.required)
            api = Api(entry.call, arguments=arguments, types=types, required=required, tool=True)
            functions[entry.call] = (*functions.get(entry.call, ()), api)
        elif name := name_of_call(entry.call):
            functions[name] = (*functions.get(name, ()), _pinned(entry.call, name))
        elif words := _command(entry.call):
            old = commands.get(words)
            flags = frozenset(entry.flags) | (old.flags if old else frozenset())
            commands[words] = Api(" ".join(words), flags=flags)
            if len(words) == 1:  # a name alone is a function as well
                functions[entry.call] = (*functions.get(entry.call, ()), Api(entry.call))
        else:
            functions[entry.call] = (*functions.get(entry.call, ()), Api(entry.call))
    return Offered(functions, commands)


@lru_cache(maxsize=4096)
def _pinned(text: str, name: str) -> Api:
    """A Python call of a catalogue."""
    calls = [call for call in read_calls(text) if call.form == "python" and call.name == name]
    if not calls:
        return Api(name)
    written = calls[0].tokens[0]
    return Api(shown(calls[0]), texts_in(written), pins_in(written))


def _command(text: str) -> tuple[str, ...]:
    """The words that a command begins with, up to a flag, a placeholder or a value: ``kubectl get``."""
    found = []
    for word in text.split():
        if not _WORD.fullmatch(word):
            break
        found.append(word)
    return tuple(found)
