"""Extraction: every target is a JSON object, or a list of objects."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from rung.data import Loaded
from rung.data.strict_json import RowError, decode_line
from rung.errors import DataError
from rung.evaluation.copied import copied_paths, made_up, text_of
from rung.evaluation.fields import ABSENT, Field, compare, counts_of, f1_of, leaves, plain
from rung.evaluation.json_grammar import Style, grammar_of, style_of
from rung.evaluation.parse import read_json
from rung.evaluation.schema import breach, fits, learn
from rung.evaluation.tasks.kind import Grade, Kind, counted, list_of, register
from rung.records import Example, Task

NEAR = 0.05  # of a number's range: how far it may be off
SCHEMA, GIVEN = "schema", "schema_given"  # in `Task.facts`: a JSON Schema; that the user gave it
_STYLE, _COPIED = "style", "copied"  # in `Task.facts`: how targets are spaced; fields copied from the text
_NAMED = 60  # keys named in the instruction
_ITEM = "[]."  # before the keys of objects in a list

Value = dict[str, Any] | list[dict[str, Any]]


class Extraction(Kind):
    """Graded field by field; ``task.fields`` holds the keys, most frequent first."""

    name = "extraction"
    title = "Extraction"
    # A row with nine right fields of ten is worth more than one with none, and a share of many fields tells
    # rungs apart on fewer rows than an all-or-nothing match.
    metrics = ("field_f1", "exact_match", "json_valid")
    row_metric = "exact_match"
    wanted = "JSON object"
    any_text = False

    def infer(self, loaded: Loaded) -> str:
        total = len(loaded.examples)
        found = list(_values(loaded))
        keys = {key for value in found for key in _keys(value)}
        if len(found) < 0.95 * total or not keys:
            return ""
        objects = sum(isinstance(value, dict) for value in found)
        what = "JSON objects or lists of them" if objects else "lists of JSON objects"
        what = "JSON objects" if objects == len(found) else what
        names = counted(len({key.removeprefix(_ITEM) for key in keys}), "different key")
        return f"Extraction: {len(found):,} of {counted(total, 'target')} are {what} ({names})."

    def fill(self, task: Task, loaded: Loaded) -> Task:
        """Keys, and the range of each field that is always a number; its distance is then graded too."""
        values = list(_values(loaded))
        keys = Counter(key for value in values for key in _keys(value))
        ranges, paths = _ranges(values)
        task = replace(task, fields=tuple(key for key, _ in keys.most_common()))
        if not ranges:
            return task
        one = len(ranges) == 1
        note = (
            f"{len(ranges)} of {counted(paths, 'field')} {'is a number' if one else 'are numbers'}; field_f1 "
            f"compares {'it' if one else 'them'} as text, number_match within {NEAR:.0%} of "
            f"{'its' if one else 'their'} range"
        )
        return replace(task, metrics=(*task.metrics, "number_match"), ranges=ranges, notes=(note,))

    def learn(self, task: Task, train: Sequence[Example]) -> Task:
        """The schema of the targets, unless one is given, how they are spaced, and which fields are copied
        from the text; answers are then measured by them too."""
        values = [read_json(one.target) for one in train]
        if not values:
            return task
        schema = task.facts.get(SCHEMA) or learn(values)
        style = style_of([one.target for one in train])
        copied = copied_paths((text_of(one.prompt), value) for one, value in zip(train, values, strict=True))
        found: dict[str, Any] = {SCHEMA: schema, _COPIED: copied}
        if style is not None:
            found[_STYLE] = asdict(style)
        more = [
            name for name in ("schema_valid", *(["made_up"] if copied else [])) if name not in task.metrics
        ]
        return replace(task, facts={**task.facts, **found}, metrics=(*task.metrics, *more))

    def doubts(self, task: Task, example: Example) -> Iterator[str]:
        value, schema = _value(example.target), task.facts.get(SCHEMA)
        if value is None or schema is None or self.unreadable(task, example):
            return
        broken = breach(schema, value)
        whose = "the schema" if task.facts.get(GIVEN) else "the form of the other rows"
        if broken:
            yield f"its target breaks {whose}{broken}; correct it, or leave the row out"

    def grammar(self, task: Task, example: Example) -> str:
        schema = task.facts.get(SCHEMA)
        if schema is None:
            return ""
        return _grammar(json.dumps(schema), json.dumps(task.facts.get(_STYLE)))

    def unreadable(self, task: Task, example: Example) -> str:
        target = example.target
        if read_json(target) is not None:
            return ""
        if _value(target) is None:
            return "its target is not a JSON object"
        try:
            decode_line(target.strip())
        except RowError as error:
            what = str(error)
            found = what.removesuffix(", which is not JSON")
            return f"its target {what}" if found == what else f"its target is not JSON: it {found}"
        return "its target is not a JSON object"

    def parse(self, task: Task, text: str) -> str | None:
        value = read_json(text)
        if value is None or (isinstance(value, list) and value and not _in_lists(task)):
            return None  # an empty list may stand for "nothing" among objects too
        return json.dumps(value, ensure_ascii=False, sort_keys=True)

    def grade(self, task: Task, example: Example, answer: str | None) -> Grade:
        wanted = read_json(example.target)
        if wanted is None:
            raise DataError("the row's target is not a JSON object")
        found = read_json(answer) if answer is not None else None
        fields = compare(wanted, ABSENT if found is None else found)
        tp, fp, fn = counts_of(fields)
        values = {
            "field_f1": 0.0 if found is None else f1_of(tp, fp, fn),
            "exact_match": float(found is not None and plain(found) == plain(wanted)),
            "json_valid": float(found is not None),
            "tp": float(tp),
            "fp": float(fp),
            "fn": float(fn),
        }
        if (schema := task.facts.get(SCHEMA)) is not None:
            values["schema_valid"] = float(found is not None and fits(schema, found))
            wrong, total = made_up(text_of(example.prompt), found, task.facts.get(_COPIED, ()))
            if total:  # of no value no share is made up
                values["invented"], values["copied"] = float(wrong), float(total)
        if task.ranges:
            numbers = [field for field in fields if field.path in task.ranges and _is_number(field.wanted)]
            values["numbers"] = float(len(numbers))
            values["numbers_right"] = float(sum(_is_near(field, task) for field in numbers))
        return Grade(values, {"fields": [field.as_json() for field in fields]})

    def instruction(self, task: Task) -> str:
        objects = any(not key.startswith(_ITEM) for key in task.fields) or not task.fields
        form = "object or list of objects" if objects else "list of objects"
        form = form if _in_lists(task) else "object"
        names = tuple(dict.fromkeys(key.removeprefix(_ITEM) for key in task.fields))
        keys = f" Use only the keys that apply:{list_of(names[:_NAMED])}" if names else ""
        return f"Answer with one JSON {form} and nothing else.{keys}"

    def headings(self, task: Task) -> tuple[str, str]:
        return "Text", "JSON"

    def features(self, target: str) -> set[str]:
        value = _value(target)
        items = [value] if isinstance(value, dict) else value or []
        shown = {f"{key}: {json.dumps(inner)}" for item in items for key, inner in item.items()}
        return shown | {key for item in items for key in item}


@lru_cache(maxsize=16)
def _grammar(schema: str, style: str) -> str:
    spacing = json.loads(style)
    return grammar_of(json.loads(schema), Style(**spacing) if spacing else None)


def _value(text: str) -> Value | None:
    """The object or list of objects that a target is, doubled keys and NaN let through."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    listed = isinstance(value, list) and all(isinstance(item, dict) for item in value)
    return value if listed or isinstance(value, dict) else None


def _values(loaded: Loaded) -> Iterator[Value]:
    found = (_value(example.target) for example in loaded.examples)
    return (value for value in found if value is not None)


def _keys(value: Value) -> Iterable[str]:
    """The keys of an object, or of the objects in a list, each of these once."""
    return value if isinstance(value, dict) else dict.fromkeys(_ITEM + key for item in value for key in item)


def _in_lists(task: Task) -> bool:
    return any(key.startswith(_ITEM) for key in task.fields)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _ranges(values: Iterable[Value]) -> tuple[dict[str, tuple[float, float]], int]:
    """Path -> (smallest, largest) of fields that are numbers or null, and how many paths there are in all."""
    seen: dict[str, set[float] | None] = {}
    for value in values:
        for path, leaf in leaves(value):
            numbers = seen.setdefault(path, set())
            if numbers is None or leaf is None:
                continue
            if _is_number(leaf):
                numbers.add(float(leaf))
            else:
                seen[path] = None
    ranges = {path: (min(found), max(found)) for path, found in seen.items() if found and len(found) > 1}
    return ranges, len(seen)


def _is_near(field: Field, task: Task) -> bool:
    if not _is_number(field.got):
        return False
    low, high = task.ranges[field.path]
    return bool(abs(field.got - field.wanted) <= NEAR * (high - low) * (1 + 1e-9))


register(Extraction())
