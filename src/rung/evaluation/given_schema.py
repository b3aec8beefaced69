"""A JSON Schema that the user gives, as data: what could take for ever, or would open a URL, is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, SchemaError
from jsonschema.validators import validator_for

from rung.errors import DataError, UsageError
from rung.evaluation.patterns import flaw
from rung.evaluation.tasks.extraction import GIVEN, SCHEMA
from rung.records import Task
from rung.strict import strict_decoder

_BYTES = 2**20  # of a file
_SIZE = 100_000  # parts of a schema with every reference written out
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_DATA = ("enum", "const", "default", "examples")  # keywords whose values are no schemas
_FIX = "Give a JSON Schema, draft 4 to 2020-12, in one file"


def with_schema(task: Task, path: Path) -> Task:
    """The extraction `task` with the schema in the file `path` in place of one that is learned.

    Raises `UsageError` for another kind of task, and `DataError` for a schema that cannot be used.
    """
    if task.kind != "extraction":
        raise UsageError(
            f"--json-schema is for extraction, and the task of these rows is {task.kind}",
            fix="Leave it out, or say --task extraction where every target is a JSON object",
        )
    return replace(task, facts={**task.facts, SCHEMA: read_schema(path), GIVEN: True})


def read_schema(path: Path) -> dict[str, Any]:
    """The schema in a file. Raises `DataError` that says what is wrong with it and what to do."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"the schema cannot be read: {error.strerror}", where=str(path), fix=_FIX) from error
    if len(data) > _BYTES:
        raise DataError(f"the schema has more than {_BYTES:,} bytes", where=str(path), fix=_FIX)
    try:
        value, _ = strict_decoder(ValueError).raw_decode(data.decode("utf-8-sig").strip())
    except (ValueError, RecursionError) as error:
        raise DataError(f"the schema is not JSON: {error}", where=str(path), fix=_FIX) from error
    if not isinstance(value, dict):
        raise DataError("the schema is not a JSON object", where=str(path), fix=_FIX)
    try:
        require_harmless(value)
        validator_for(value, default=Draft202012Validator).check_schema(value)
    except SchemaError as error:
        what = f"the schema is not a JSON Schema: {error.message[:200]}"
        raise DataError(what, where=str(path), fix=_FIX) from error
    except RecursionError as error:
        raise DataError("the schema is nested too deeply", where=str(path), fix=_FIX) from error
    except DataError as error:
        raise DataError(error.what, where=str(path), why=error.why, fix=error.fix) from error
    return value


def require_harmless(schema: Mapping[str, Any]) -> None:
    """Raises `DataError` for references to elsewhere or to itself, slow patterns and sizes that explode."""
    sizes: dict[str, int] = {}

    def size(node: Any, within: tuple[str, ...]) -> int:
        """Parts of a node with its references written out; `within` are the references that led to it."""
        total = 1
        for keyword, part in _parts(node):
            if keyword in _REFERENCES:
                total += _referred(part, within)
            else:
                total += size(part, within)
        for pattern in _patterns(node):
            if why := flaw(pattern):
                fix = "Write it without a repetition inside another one, or leave it out"
                raise DataError(f"the pattern {pattern!r} {why}", fix=fix)
        if total > _SIZE:
            what = f"the schema has more than {_SIZE:,} parts with all references written out"
            raise DataError(what, fix="Refer to fewer shared parts")
        return total

    def _referred(target: Any, within: tuple[str, ...]) -> int:
        if not isinstance(target, str) or (target != "#" and not target.startswith("#/")):
            raise DataError(
                f"the schema refers to {target!r}, which is not in the file",
                why="No URL and no other file is opened for a schema",
                fix="Copy that part into $defs and refer to it as #/$defs/NAME",
            )
        if target in within or target == "#":
            raise DataError(
                f"the schema is recursive: {' -> '.join((*within, target))}",
                why="Answers could be nested without an end",
                fix="Write out as many levels as the answers have",
            )
        if target not in sizes:
            sizes[target] = size(_found(schema, target), (*within, target))
        return sizes[target]

    size(schema, ())


def _parts(node: Any) -> Iterator[tuple[str, Any]]:
    """Keyword and value of each part of a node that may hold a schema."""
    if isinstance(node, Mapping):
        yield from ((key, part) for key, part in node.items() if key not in _DATA)
    elif isinstance(node, list):
        yield from (("", part) for part in node)


def _patterns(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(node.get("pattern"), str):
            yield node["pattern"]
        if isinstance(node.get("patternProperties"), Mapping):
            yield from node["patternProperties"]


def _found(schema: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) names. Raises `DataError`."""
    node = schema
    for step in pointer[2:].split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        elif isinstance(node, Mapping) and key in node:
            node = node[key]
        else:
            raise DataError(
                f"the schema refers to {pointer!r}, which is not there", fix="Add it, or correct it"
            )
    return node
