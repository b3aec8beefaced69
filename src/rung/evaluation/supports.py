"""Whether a passage holds what the right answer to a row needs: how a retriever is measured.

Calls: the passage has the name of every call, and the text arguments that the row itself does not say.
Other answers: it has the answer, or most of the words of the answer that the row itself does not say.
Labels, fields and translations are not looked up, so nothing is said about them.
"""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from rung.evaluation.calls import Call, read_calls
from rung.evaluation.languages import SMALL_WORDS
from rung.records import Example, Task

MOST = 2 / 3  # share of an answer's own words that is enough
_KINDS = ("api_call", "knowledge", "generation")
_WORD = re.compile(r"[^\W_]+(?:[._-][^\W_]+)*")
_MARKS = re.compile(r"[\s\"'`‘’“”]+")


def is_measured(task: Task) -> bool:
    """Whether answers to the rows of `task` can be looked up in a passage."""
    return task.kind in _KINDS and not task.labels


def first(task: Task, example: Example, passages: Sequence[str]) -> int | None:
    """The place of the first of `passages` with what the target of `example` needs; None without one."""
    target = _squeezed(example.target)
    needed = _needed(task, example)
    enough = (1.0 if _calls(task) else MOST) * len(needed)
    for place, text in enumerate(map(_squeezed, passages)):
        if (target and target in text) or (needed and sum(one in text for one in needed) >= enough):
            return place
    return None


def _calls(task: Task) -> bool:
    return task.kind == "api_call"


@lru_cache(maxsize=20_000)
def _squeezed(text: str) -> str:
    """The text in one spelling, without case, quotes and spaces, so that writing makes no difference."""
    return _MARKS.sub("", unicodedata.normalize("NFKC", text)).casefold()


def _needed(task: Task, example: Example) -> list[str]:
    """What must be in the passage, squeezed."""
    said = _squeezed("\n".join(message.content for message in example.prompt))
    if _calls(task):
        calls = read_calls(example.target, task.functions)
        texts = [_squeezed(text) for call in calls for text in _texts(call)]
        return [*(_squeezed(call.name) for call in calls), *(text for text in texts if text not in said)]
    small = SMALL_WORDS["English"]
    words = dict.fromkeys(word.casefold() for word in _WORD.findall(example.target))
    own = [word for word in words if word not in small and len(word) > 1]
    return [one for word in own if (one := _squeezed(word)) not in said]


def _texts(call: Call) -> list[str]:
    """The text arguments of a Python call."""
    if call.form != "python":
        return []
    try:
        tree = ast.parse(call.tokens[0], mode="eval")
    except (SyntaxError, ValueError, RecursionError):
        return []
    found = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [value for value in found if isinstance(value, str) and value.strip()]
