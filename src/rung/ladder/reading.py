"""Rows with passages in their prompts, for a model that is tuned to read them.

A rung that is tuned with retrieval is the same rung on other rows: it is given a context whose rows hold the
passages that are like them. The passage with the answer is not forced in: what the retriever finds is what
there will be later. A share of the train rows is shown wrong passages, so that the model learns when not to
believe them (RAFT, arXiv 2403.10131, trains a share of rows without the right document too).
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from rung import numbers, storage
from rung.data.split import Split, is_text
from rung.ladder.context import Context
from rung.ladder.forecast import Rates, Speeds, TrainRate, Workload
from rung.ladder.library import Library
from rung.ladder.prepare import Prepared
from rung.ladder.showing import Place, with_passages
from rung.ladder.workload import measure_workload
from rung.records import Example, Passage, Rendered

if TYPE_CHECKING:
    from rung.ladder.responder import Responder
    from rung.ladder.rungs.rung import Outcome

PLACE: Place = "before"
MOST_TOKENS = 600  # of the passages of a row that is trained on, where more than the fewest are asked for
_WORTH = 0.9  # of the recall of more passages is enough
_SAMPLE = 200  # dev and train rows whose recall decides how many passages are shown
_COUNTED = 32  # rows on which the tokens of passages are counted
T = TypeVar("T")
_Row = tuple[Example, Rendered]


@dataclass(frozen=True)
class Shown:
    """All rows of a climb with passages."""

    passages: int  # that a row is shown, at most
    wrong: int  # train rows that were shown wrong ones
    rows: dict[str, Example]  # by id, which is that of the row without passages
    prepared: Prepared
    work: Workload

    def of(self, examples: Iterable[Example]) -> tuple[Example, ...]:
        """The same rows with passages."""
        return tuple(self.rows[one.id] for one in examples)

    def split(self, parts: Split) -> Split:
        """The same parts with passages."""
        return replace(parts, train=self.of(parts.train), dev=self.of(parts.dev), test=self.of(parts.test))


def number_of(context: Context) -> int:
    """How many passages a row is shown where a model is tuned to read them.

    The smallest of the numbers asked for with nearly the recall of the largest that is not too long; where
    recall is not measured, the smallest.
    """
    library, prepared = _library(context), context.prepared
    asked = sorted(set(context.settings.passages))
    each = tokens_of(context)
    few = [k for k in asked if k == asked[0] or k * each <= MOST_TOKENS]
    parts = prepared.split
    rows = list(dict.fromkeys((*parts.dev, *parts.asking)))[:_SAMPLE]
    recall = library.recall(context.task, rows, few)
    return next((k for k in few if recall and recall[k] >= _WORTH * max(recall.values())), few[0])


def tokens_of(context: Context) -> float:
    """Tokens that a passage adds to a prompt, on average over the passages that are like some rows."""
    known = context.reading.get("tokens")
    if known is None:
        library, prepared = _library(context), context.prepared
        rows = prepared.split.asking[:_COUNTED]
        renderer, added = prepared.speaker.renderer, []
        for row, near in zip(rows, library.like(rows, 1), strict=True):
            if near:
                longer = renderer.prompt_ids(with_passages(context.task, row, near, PLACE).prompt)
                added.append(len(longer) - len(renderer.prompt_ids(row.prompt)))
        known = context.reading["tokens"] = max(1.0, sum(added) / max(1, len(added)))
    assert isinstance(known, float)
    return known


def all_tokens(context: Context) -> int:
    """Tokens of all passages in one prompt."""
    known = context.reading.get("all tokens")
    if known is None:
        library, prepared = _library(context), context.prepared
        row, renderer = prepared.split.asking[0], prepared.speaker.renderer
        longer = renderer.prompt_ids(with_passages(context.task, row, library.passages, "system").prompt)
        known = len(longer) - len(renderer.prompt_ids(row.prompt))
        context.reading["all tokens"] = known
    assert isinstance(known, int)
    return known


def longest_prompt(context: Context) -> int:
    """Tokens of the longest prompt of all rows, the instruction included."""
    longest = max(row.answer_start for row in context.prepared.rendered.values())
    return longest + context.work.prefix_tokens


def with_recall(outcome: Outcome, context: Context, passages: int = 0) -> Outcome:
    """`outcome` with the recall of the retriever: the share of test rows for which it finds the answer.

    Nothing is chosen by it; `passages` is how many the rung shows, where that is one number.
    """
    library, test = _library(context), context.split.test
    recall = library.recall(context.task, test, sorted({*context.settings.passages, passages} - {0}))
    applied: dict[str, Any] = {"passages": passages} if passages else {}
    applied |= {"library_passages": len(library.passages)}
    if not recall:
        return replace(outcome, applied=outcome.applied | applied)
    shares = numbers.listed([f"for {share:.0%} with {k}" for k, share in recall.items()])
    note = f"the passages that are retrieved hold the answer to some of the {len(test):,} test rows: {shares}"
    applied |= {"retriever_recall": {str(k): round(share, 4) for k, share in recall.items()}}
    return replace(outcome, notes=(*outcome.notes, note), applied=outcome.applied | applied)


def reader_of(context: Context, model: Responder) -> Responder:
    """`model`, asked with as many passages as the rows of `reading_context` have."""
    from rung.ladder.reader import Lookup, Reader

    prepared = context.prepared
    room = prepared.max_length - prepared.max_new_tokens
    renderer, k = prepared.speaker.renderer, shown_of(context).passages
    return Reader(model, Lookup(renderer, prepared.task, _library(context), k, room))


def shown_of(context: Context) -> Shown:
    """All rows with passages; they are looked up and rendered once for all rungs.

    Raises as `Renderer.render` does.
    """
    known = context.reading.get("shown")
    if known is None:
        known = context.reading["shown"] = _shown(context)
    assert isinstance(known, Shown)
    return known


def reading_context(context: Context) -> Context:
    """`context` with passages in all rows. Sizes and the plan are those of `context` when this is called."""
    known = shown_of(context)
    more = known.work.tail_tokens - context.work.tail_tokens  # which also reads `context.texts`
    speeds = _Longer(context.speeds, more)
    found = copy.copy(context)  # with what was measured so far
    found.split, found.whole = known.split(context.split), known.split(context.whole)
    found.prepared, found.work = known.prepared, known.work
    found.speeds = speeds
    found.fingerprint = storage.fingerprint([context.fingerprint, "passages", known.passages])
    return found


def shortest(row: Callable[[Sequence[Passage]], tuple[T, int]], near: Sequence[Passage], room: int) -> T:
    """What `row` makes of the passages `near`, the most similar one first, and how many tokens that has.

    The least similar ones are left out until it has room for them, or none is left.
    """
    while True:
        made, tokens = row(near)
        if not near or tokens <= room:
            return made
        near = near[:-1]


def _shown(context: Context) -> Shown:
    prepared, library, settings = context.prepared, _library(context), context.settings
    context.watcher.begin("", "looking up passages")
    k = number_of(context)
    renderer = prepared.speaker.renderer
    rows: dict[str, Example] = {}
    rendered: dict[str, Rendered] = {}
    misled = _misled(prepared.split.train, settings.wrong_passages, settings.seed)
    for part in (prepared.split.train, prepared.split.dev, prepared.split.test):
        for example, near in zip(part, library.like(part, k), strict=True):
            if is_text(example):
                rows[example.id], rendered[example.id] = example, prepared.rendered[example.id]
                continue
            if example.id in misled and part is prepared.split.train:
                near = library.wrong(example, k, settings.seed)

            def made(some: Sequence[Passage], example: Example = example) -> tuple[_Row, int]:
                row = with_passages(prepared.task, example, some, PLACE)
                tokens = renderer.render(row)
                return (row, tokens), len(tokens.ids)

            rows[example.id], rendered[example.id] = shortest(made, near, prepared.max_length)
    shown = Shown(k, len(misled), rows, prepared, context.work)
    own = replace(prepared, split=shown.split(prepared.split), rendered=rendered, passages=k)
    work = measure_workload(own, context.work.general_tokens)
    return replace(shown, prepared=own, work=work)


def _misled(train: Sequence[Example], share: float, seed: int) -> set[str]:
    """The ids of the train rows that are shown wrong passages."""
    draw = random.Random(f"misled {seed}")
    return {one.id for one in draw.sample(list(train), round(share * len(train)))}


def _library(context: Context) -> Library:
    assert context.library is not None, "a rung that needs documents runs only where there are some"
    return context.library


@dataclass(frozen=True)
class _Longer:
    """The speeds of a machine for rows with so many tokens more; see `rung.ladder.forecast.Speeds`."""

    speeds: Speeds
    more: float

    @property
    def prefill(self) -> float:
        return self.speeds.prefill

    @property
    def decode(self) -> float:
        return self.speeds.decode

    @property
    def score(self) -> float:
        score = self.speeds.score
        return score + max(0.0, self.more) / self.speeds.prefill if score else 0.0

    @property
    def train(self) -> Mapping[str, TrainRate]:
        return self.speeds.train

    @property
    def spread(self) -> float:
        return self.speeds.spread

    def rates(self) -> Rates:
        return replace(self.speeds.rates(), score=self.score)

    def slower(self, training: float, answering: float) -> Speeds:
        return _Longer(self.speeds.slower(training, answering), self.more)
