"""Several labels in one cell: ``a; b``, ``a|b``, ``a, b`` or a JSON list: how they are read and written.

A separator is believed only where what stands between it behaves like labels: few, short, used again, more of
them in some rows than in others, and in more than one company. ``Paris, France`` is one label.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MARKS = (";", "|", ",")
LIST = ""  # the joint of labels in a JSON list
NONE = "none"  # what a row without a label says where labels are not a JSON list
MOST_LABELS, LENGTH, WORDS = 200, 60, 6  # different labels; characters and words of one
_NO_LABEL = ("none", "no label", "no labels")
_CLOSED = 0.95  # share of the rows whose labels are all used again
_JOINT = re.compile(r"\s*([;|,])\s*")


@dataclass(frozen=True, slots=True)
class Found:
    """Targets that hold several labels each."""

    joint: str  # between two labels, such as "; " or "|"; `LIST`
    counts: Counter[str]  # label as it is written -> rows
    several: int  # rows with two labels or more
    without: int  # rows that say that no label applies


def found_in(targets: Sequence[str]) -> Found | None:
    """How these targets write several labels; None where they hold one label each, or no labels."""
    lists = [items for target in targets if (items := listed(target)) is not None]
    if len(lists) >= _CLOSED * len(targets):
        found = _counted(LIST, lists)
        return found if found.several and _is_closed(found, lists) else None
    if any("\n" in target.strip() for target in targets):
        return None
    for mark in MARKS:
        if sum(mark in target for target in targets) < max(2, 0.01 * len(targets)):
            continue
        rows = [parts(target, mark) for target in targets]
        found = _counted(joint_of(targets, mark), rows)
        if found.several and _is_closed(found, rows) and _recombine(rows, mark):
            return found
    return None


def counted_with(targets: Sequence[str], joint: str) -> Found:
    """The labels of targets that are known to be written with `joint`."""
    return _counted(joint, [items(target, joint) for target in targets])


def joint_of(targets: Iterable[str], mark: str) -> str:
    """What most often stands between two labels: `mark` with the spaces around it."""
    joints = Counter(match[0] for target in targets for match in _JOINT.finditer(target) if match[1] == mark)
    return joints.most_common(1)[0][0] if joints else f"{mark} "


def listed(text: str) -> list[str] | None:
    """The texts and numbers of a JSON list; None for anything else."""
    if not text.lstrip().startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list) or any(
        isinstance(one, list | dict | bool) or one is None for one in value
    ):
        return None
    return [str(one).strip() for one in value]


def parts(text: str, mark: str) -> list[str]:
    """What stands between the marks, the empty parts too; nothing where the text says that there is none."""
    return [] if says_none(text) else [part.strip() for part in text.split(mark)]


def says_none(text: str) -> bool:
    """Whether a text says that no label applies."""
    return " ".join(text.split()).casefold().rstrip(".") in _NO_LABEL


def items(text: str, joint: str) -> list[str]:
    """The labels of a target that is written with `joint`, each once, without empty ones."""
    found = listed(text)
    if found is None or joint != LIST:
        found = parts(text, joint.strip() or ";") if found is None else found
    return list(dict.fromkeys(one for one in found if one and not says_none(one)))


def written(labels: Sequence[str], joint: str) -> str:
    """Labels as one text: joined by `joint`, or as a JSON list."""
    if joint == LIST:
        return json.dumps(list(labels), ensure_ascii=False)
    return joint.join(labels) or NONE


def _counted(joint: str, rows: Sequence[Sequence[str]]) -> Found:
    sets = [{one for one in row if one and not says_none(one)} for row in rows]
    counts = Counter(label for labels in sets for label in labels)
    several, without = sum(len(labels) > 1 for labels in sets), sum(not labels for labels in sets)
    return Found(joint, counts, several, without)


def _is_closed(found: Found, rows: Sequence[Sequence[str]]) -> bool:
    """Whether nearly all rows hold nothing but few short labels that are used again."""
    again = {label for label, n in found.counts.items() if n > 1}
    short = all(len(label) <= LENGTH and len(label.split()) <= WORDS for label in again)
    if not short or not 2 <= len(again) <= MOST_LABELS:
        return False
    odd = sum(any(one not in again for one in row if one and not says_none(one)) for row in rows)
    return odd <= max(1, (1 - _CLOSED) * len(rows))


def _recombine(rows: Sequence[Sequence[str]], mark: str) -> bool:
    """Whether rows differ in how many labels they have, few have one twice, and labels stand in more than one
    company."""
    sets = {frozenset(one for one in row if one) for row in rows}
    if 2 * sum(len(set(row)) < len(row) for row in rows) > sum(len(row) > 1 for row in rows):
        return False  # a set has nothing twice
    companies: dict[str, int] = defaultdict(int)
    for labels in sets:
        for label in labels:
            companies[label] += 1
    several = [labels for labels in sets if len(labels) > 1]
    joined = {label for labels in several for label in labels}
    free = sum(companies[label] > 1 for label in joined)
    least = 3 if mark == "," else 1  # a comma may belong to a label
    return len({len(labels) for labels in sets}) > 1 and len(several) >= least and 2 * free > len(joined)
