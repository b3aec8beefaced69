"""JSON Schema of the targets of extraction: learned from train rows, and what breaks it.

A schema says what a reader of train would expect: the types of each field, the strings that a field is one
of, which keys an object always has, what lists hold. It is data: validation opens no URL.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for
from referencing import Registry

from rung.evaluation.patterns import found_in

Schema = Mapping[str, Any]

ORDER = "x-order"  # keys of an object that come first, in this order; for writing, not for validation
RARE = 200  # of so many values, one that differs from all others in its type is taken for a slip
_FEWEST, _MOST_CHOICES, _OFTEN = 20, 100, 5  # values that make an enum; choices; times that each occurs
_NEW = 0.01  # an enum is taken where the next value is a new one with at most this chance
_OPEN = 0.2  # an object whose next key is a new one with more than this chance has any keys
_FEWER = 0.6  # of the keys, that a kind of object has on average
_LEADING = 3  # keys at the beginning of an object whose order is looked at
_DEPTH = 40  # of nested values that are looked at
_KIND = ("type", "enum", "const")  # keywords that say what a value is
_SHOWN = 160  # characters of what is wrong


def learn(values: Sequence[Any]) -> dict[str, Any]:
    """The schema of these JSON values; of none, one that takes anything.

    A type that fewer than one in `RARE` values of a place have is a slip and left out; so is the absence of
    a key in so few objects. A string field becomes an ``enum`` where few strings come back often: the chance
    that the next one is new, which is about the share of strings seen once (Good 1953), is at most 1 %.
    """
    return _node(values, _DEPTH)


def breach(schema: Schema, value: Any) -> str:
    """What in `value` breaks `schema`: `` at place: what``, of the whole ``: what``; "" for nothing."""
    error = next(iter(_validator(json.dumps(schema, sort_keys=True)).iter_errors(value)), None)
    if error is None:
        return ""
    while error.context:
        error = _nearest(error.context)
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    message = error.message if len(error.message) <= _SHOWN else f"{error.message[:_SHOWN]}…"
    return f" at {where.removeprefix('.')}: {message}" if where else f": {message}"


def _nearest(errors: Sequence[ValidationError]) -> ValidationError:
    """The first error of the form that fits best: its types and choices fit, and it has fewest errors."""
    forms: dict[Any, list[ValidationError]] = {}
    for error in errors:
        forms.setdefault(error.schema_path[0], []).append(error)
    return min(forms.values(), key=lambda form: (any(one.validator in _KIND for one in form), len(form)))[0]


def fits(schema: Schema, value: Any) -> bool:
    """Whether `value` keeps to `schema`."""
    return bool(_validator(json.dumps(schema, sort_keys=True)).is_valid(value))


@lru_cache(maxsize=16)
def _validator(schema: str) -> Validator:
    """Of a schema as JSON text; references are looked up in it alone, patterns have a limit of time."""
    value = json.loads(schema)
    known = validator_for(value, default=Draft202012Validator)
    kind: Any = extend(known, {"pattern": _pattern})  # type: ignore[no-untyped-call]
    found: Validator = kind(value, registry=Registry())
    return found


def _pattern(_: Validator, pattern: str, instance: Any, __: Schema) -> Any:
    if isinstance(instance, str) and not found_in(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


# --- learning ---------------------------------------------------------------------------------------


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer"
    names = {dict: "object", list: "array", str: "string", float: "number"}
    return names.get(type(value), "null")


def _node(values: Sequence[Any], depth: int) -> dict[str, Any]:
    types = Counter(map(_type, values))
    kept = [name for name, count in types.most_common() if count * RARE >= len(values)]
    if not kept or depth == 0:
        return {}
    if "number" in kept and "integer" in kept:
        kept.remove("integer")
    leaves = [name for name in kept if name not in ("object", "array")]
    found: list[dict[str, Any]] = []
    if "object" in kept:
        found.append(_object([value for value in values if isinstance(value, dict)], depth))
    if "array" in kept:
        items = [item for value in values if isinstance(value, list) for item in value]
        found.append({"type": "array", "items": _node(items, depth - 1)})
    if leaves:
        found.append(_leaf(leaves, [value for value in values if isinstance(value, str)]))
    return found[0] if len(found) == 1 else {"anyOf": found}


def _leaf(types: list[str], strings: Sequence[str]) -> dict[str, Any]:
    plain: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
    choices = Counter(strings)
    if not choices or not set(types) <= {"string", "null"} or not _comes_back(choices):
        return plain
    enum: list[Any] = [choice for choice, _ in choices.most_common()]
    return plain | {"enum": [*enum, None] if "null" in types else enum}


def _comes_back(choices: Counter[str]) -> bool:
    total = choices.total()
    once = sum(count == 1 for count in choices.values())
    enough = total >= max(_FEWEST, _OFTEN * len(choices)) and len(choices) <= _MOST_CHOICES
    return enough and once <= _NEW * total


def _object(values: Sequence[dict[str, Any]], depth: int, split: bool = True) -> dict[str, Any]:
    keys = Counter(key for value in values for key in value)
    once = sum(count == 1 for count in keys.values())
    if once > _OPEN * keys.total():  # keys are data, such as names
        inside = [item for value in values for item in value.values()]
        return {"type": "object", "additionalProperties": _node(inside, depth - 1)}
    inner = {key: _node([one[key] for one in values if key in one], depth - 1) for key in _in_order(values)}
    required = [key for key in inner if (len(values) - keys[key]) * RARE < len(values)]
    if split and (groups := _kinds(values, inner, required)):
        return {"anyOf": [_object(group, depth, False) for group in groups]}
    return {
        "type": "object",
        "properties": inner,
        "required": required,
        "additionalProperties": False,
        "maxProperties": max(map(len, values)) + 1,
        ORDER: _order(values, list(inner)),
    }


def _in_order(values: Sequence[dict[str, Any]]) -> list[str]:
    """The keys by where they stand on average, from 0 at the beginning of an object to 1 at its end."""
    places: dict[str, list[float]] = {}
    for value in values:
        for place, key in enumerate(value):
            places.setdefault(key, []).append(place / len(value))
    return sorted(places, key=lambda key: sum(places[key]) / len(places[key]))


def _order(values: Sequence[dict[str, Any]], keys: list[str]) -> list[str]:
    """The keys that come first and always in this order: all of them, those at the beginning, or none."""
    place = {key: number for number, key in enumerate(keys)}
    for count in range(len(keys), 0, -1):
        if count < len(keys) and count > _LEADING:
            continue
        kept = sum(_keeps(list(value), place, count) for value in values)
        if (len(values) - kept) * RARE < len(values):
            return keys[:count]
    return []


def _keeps(written: list[str], place: Mapping[str, int], count: int) -> bool:
    """Whether the first `count` keys come before all others, and in order, where they are there."""
    places = [min(place[key], count) for key in written]
    return all(one <= other for one, other in pairwise(places))


def _kinds(
    values: Sequence[dict[str, Any]], inner: Mapping[str, Any], required: Sequence[str]
) -> list[list[dict[str, Any]]]:
    """The objects by the field that says which keys they have, such as an intent or a type; or nothing.

    Taken is the field that leaves the fewest keys to an object on average, where these are at most
    `_FEWER` of all.
    """
    best: list[list[dict[str, Any]]] = []
    fewest = _FEWER * len(inner)
    for key in required:
        choices = inner[key].get("enum", ())
        if len(choices) < 2 or None in choices:
            continue
        groups = [[value for value in values if value.get(key) == choice] for choice in choices]
        groups = [group for group in groups if group]
        told = sum(len(group) * len({name for one in group for name in one}) for group in groups) / len(
            values
        )
        if min(map(len, groups)) >= _FEWEST and told <= fewest:
            best, fewest = groups, told
    return best
