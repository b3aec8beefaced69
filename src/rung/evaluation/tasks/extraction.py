"""Extraction: every target is a JSON object."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rung.data import Loaded
from rung.errors import DataError
from rung.evaluation.fields import counts_of, f1_of, fields_of, plain
from rung.evaluation.parse import read_object
from rung.evaluation.tasks.kind import Grade, Kind, list_of, register
from rung.records import Task

_NAMED = 60  # keys named in the instruction


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
        found = [keys for example in loaded.examples if (keys := _object(example.target))]
        if len(found) < 0.95 * total:
            return ""
        return (
            f"Extraction: {len(found):,} of {total:,} targets are JSON objects "
            f"({len({key for keys in found for key in keys}):,} different keys)."
        )

    def fill(self, task: Task, loaded: Loaded) -> Task:
        keys = Counter(key for example in loaded.examples for key in _object(example.target) or ())
        return replace(task, fields=tuple(key for key, _ in keys.most_common()))

    def parse(self, task: Task, text: str) -> str | None:
        value = read_object(text)
        return None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)

    def grade(self, task: Task, target: str, answer: str | None) -> Grade:
        wanted = read_object(target)
        if wanted is None:
            raise DataError("the row's target is not a JSON object")
        found = read_object(answer) if answer is not None else None
        want, have = fields_of(wanted), fields_of({} if found is None else found)
        tp, fp, fn = counts_of(want, have)
        right = found is not None and plain(found) == plain(wanted)
        return Grade(
            {
                "field_f1": 0.0 if found is None else f1_of(tp, fp, fn),
                "exact_match": float(right),
                "json_valid": float(found is not None),
                "tp": float(tp),
                "fp": float(fp),
                "fn": float(fn),
            }
        )

    def instruction(self, task: Task) -> str:
        keys = f" Use only the keys that apply:{list_of(task.fields[:_NAMED])}" if task.fields else ""
        return f"Answer with one JSON object and nothing else.{keys}"

    def features(self, target: str) -> set[str]:
        value = _object(target)
        return {*value, *(f"{key}: {json.dumps(item)}" for key, item in value.items())} if value else set()


def _object(text: str) -> Mapping[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


register(Extraction())
