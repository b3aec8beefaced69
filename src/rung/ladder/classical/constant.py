"""The floor: the best answer that does not look at the row, or the row's own text again.

Candidates are the commonest answers, an object of the commonest fields, and a sample of the other targets;
where any text is an answer, also the text of the question (a translation that translates nothing).  The one
that the task's own metric likes best on train and dev is taken.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rung.data import sample
from rung.evaluation.fields import plain
from rung.evaluation.frame import Frame
from rung.evaluation.parse import read_json
from rung.evaluation.tasks import KINDS
from rung.ladder.classical import fitted
from rung.ladder.classical.fitted import Fitted, Graded, graded
from rung.ladder.classical.texts import last_question
from rung.ladder.responder import Responder
from rung.records import Choice, Completion, Example, RungKind, Task

if TYPE_CHECKING:
    from rung.ladder.watch import Watcher

NAME, TITLE = "constant", "the same answer for every row"
KIND: RungKind = "floor"
_COMMONEST, _OTHERS, _FIELDS = 10, 20, 20  # candidates: frequent targets, others, sizes of an object
_ROWS = 300  # rows that candidates are tried on, where targets are not the same few
_SHOWN, _NAMED = 80, 5  # characters of an answer in a note; candidates named there

Keys = tuple[str, ...]


def applies(task: Task) -> bool:
    """Whether the rung can be tried on `task`: always."""
    return True


@dataclass(frozen=True)
class Constant(Responder):
    """Answers every row with `text`, or, where it is None, with the row's last user turn inside `frame`."""

    text: str | None
    frame: Frame = field(default_factory=Frame)

    def answer(self, examples: Sequence[Example], watcher: Watcher | None = None) -> list[Completion]:
        """One answer for each example, in their order."""
        return [Completion(example.id, self.text_for(example), tokens=0) for example in examples]

    def save(self, folder: Path) -> None:
        """Write the answer as JSON."""
        settings = {"text": self.text, "before": self.frame.before, "after": self.frame.after}
        fitted.save(folder, NAME, settings)

    def text_for(self, example: Example) -> str:
        """The answer to one row."""
        return self.frame.inside(last_question(example)) if self.text is None else self.text

    @property
    def title(self) -> str:
        """What the answer is, in a few words."""
        if self.text is None:
            return "the text of the question itself"
        line = " ".join(self.text.split())
        return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."


def load(folder: Path) -> Constant:
    """What `Constant.save` wrote. Raises `ResumeError` where a file is missing or was changed."""
    settings, _ = fitted.load(folder, NAME, before=str, after=str)
    text = settings["text"]
    fitted.require_fit(text is None or isinstance(text, str))
    return Constant(text, Frame(settings["before"], settings["after"]))


def fit(task: Task, train: Sequence[Example], dev: Sequence[Example], seed: int = 0) -> Fitted[Constant]:
    """The best constant answer for the rows of train and dev."""
    known = (*train, *dev)
    found = [Constant(text) for text in _candidates(task, [example.target for example in known], seed)]
    if KINDS[task.kind].any_text:
        found.append(Constant(None, Frame.around(list(map(last_question, known)))))
    rows = _weighted(known, seed)
    tried = [
        graded(task, list(rows), [one.text_for(example) for example in rows], list(rows.values()))
        for one in found
    ]
    best, values = _best(task, tried)
    shown: dict[str, float | None] = {found[best].title: values[best]}
    for place in sorted(range(len(found)), key=lambda place: -values[place])[:_NAMED]:
        shown.setdefault(found[place].title, values[place])  # long answers may have one title
    return Fitted(found[best], (Choice("answer", found[best].title, shown),))


def _best(task: Task, tried: Sequence[Graded]) -> tuple[int, list[float]]:
    """Place of the best candidate by the task's metrics, the first one first, and the first metric of all."""
    values = [one.value(task.primary) for one in tried]
    left = [place for place, value in enumerate(values) if value == max(values)]
    for name in task.metrics[1:]:
        if len(left) > 1:
            others = {place: tried[place].value(name) for place in left}
            left = [place for place in left if others[place] == max(others.values())]
    return left[0], values


def _weighted(examples: Sequence[Example], seed: int) -> dict[Example, float]:
    """Rows with different targets, and how many rows have them: a constant is graded by the target alone.

    A sample where there are many of them.
    """
    if len({example.target for example in examples}) > _ROWS:
        examples = sample(examples, _ROWS, seed)
    first: dict[str, Example] = {}
    for example in examples:
        first.setdefault(example.target, example)
    counts = Counter(example.target for example in examples)
    return {example: float(counts[target]) for target, example in first.items()}


def _candidates(task: Task, targets: Sequence[str], seed: int) -> list[str]:
    """Texts worth trying, the commonest first, each once."""
    kind = KINDS[task.kind]
    written: dict[str, Counter[str]] = defaultdict(Counter)  # answer as the grader reads it -> its spellings
    for target in targets:
        written[kind.parse(task, target) or target][target] += 1
    order = sorted(written, key=lambda answer: -written[answer].total())
    spelled = [written[answer].most_common(1)[0][0] for answer in order]
    rest = spelled[_COMMONEST:]
    others = random.Random(f"constant {seed}").sample(rest, min(_OTHERS, len(rest)))
    own = kind.constants(task, targets)
    return list(dict.fromkeys([*spelled[:_COMMONEST], *own, *_objects(targets), *others]))


def _objects(targets: Sequence[str]) -> Iterator[str]:
    """JSON objects of the surest field, the two surest ones, and so on, each with its commonest value.

    Where most targets are lists, lists of one such object. None where most targets are no JSON.
    """
    written = (target for target in targets if target.lstrip().startswith(("{", "[")))
    values = [value for target in written if (value := read_json(target)) is not None]
    if 2 * len(values) < len(targets):
        return
    lists = 2 * sum(isinstance(value, list) for value in values) > len(values)
    items = [item for value in values for item in (value if isinstance(value, list) else [value])]
    counts: dict[Keys, Counter[str]] = defaultdict(Counter)
    for item in items:
        for path, value in _leaves(item):
            counts[path][plain(value)] += 1
    surest = sorted(counts, key=lambda path: -counts[path].most_common(1)[0][1])
    built: dict[str, Any] = {}
    for path in surest[:_FIELDS]:
        if _put(built, path, json.loads(counts[path].most_common(1)[0][0])):
            yield json.dumps([built] if lists else built, ensure_ascii=False)


def _leaves(value: dict[str, Any], path: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Fields of an object and of the objects in it; a list is one value."""
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            yield from _leaves(inner, (*path, key))
        else:
            yield (*path, key), inner


def _put(built: dict[str, Any], path: Keys, value: Any) -> bool:
    """Set one field; False where an object and a plain value want the same place."""
    for key in path[:-1]:
        inner = built.setdefault(key, {})
        if not isinstance(inner, dict):
            return False
        built = inner
    if path[-1] in built:
        return False
    built[path[-1]] = value
    return True
