"""A small suite of general abilities, scored before and after tuning: what the tuned model still can do.

Drift (`rung.evaluation.forgetting`) says how far a model moved. This says whether it got worse: 248 items,
written for rung and kept in `general_suite.jsonl`, of four kinds.

    facts         80 questions, one right and three wrong short answers
    grammar       64 pairs of sentences that differ in what makes one of them wrong
    arithmetic    48 questions, from one digit to two steps in words, one right and three wrong answers
    instructions  56 instructions whose answer a rule can check (`rung.evaluation.answer_rules`)

An answer to a question is scored as the whole turn of the assistant, with its end; the sum over its tokens
counts, which tells right from wrong better than the mean for the default base. Wrong answers to arithmetic
have about as many tokens as the right one. A sentence is scored as plain text, without the chat template,
after the token that comes before every text (`start_of_text`). An instruction is answered greedily.

Items were chosen such that the default base is above chance on every kind and far from all right: a model
can lose and gain. Another base's own scores are not to be compared with that one's. No torch on import.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from rung.errors import RungError, UsageError
from rung.evaluation.answer_rules import follows
from rung.evaluation.stats import mean_of, mean_rows, paired_difference
from rung.records import Measure, Message, from_json

if TYPE_CHECKING:
    from rung.data.templates import Renderer
    from rung.generate.engine import Engine

Kind = Literal["facts", "grammar", "arithmetic", "instructions"]
KINDS: tuple[Kind, ...] = ("facts", "grammar", "arithmetic", "instructions")
ALL = "all"  # the name of the part that has every item
NEW_TOKENS = 48  # of an answer to an instruction


@dataclass(frozen=True, slots=True)
class Item:
    """One item. It has a right and some wrong answers, or a rule."""

    id: str
    kind: Kind
    about: str = ""  # what it tests, in words
    prompt: str = ""  # empty for pairs of sentences
    right: str = ""
    wrong: tuple[str, ...] = ()
    rule: Mapping[str, Any] = field(default_factory=dict)  # see `rung.evaluation.answer_rules`


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a model did on one item."""

    item: str  # its id
    right: bool
    answer: str  # the choice with the highest likelihood, or what was written
    margin: float | None = None  # nats: the right choice minus the best wrong one; None where it is written


@dataclass(frozen=True, slots=True)
class Scored:
    """How a model did on the suite, an outcome for each item, in order."""

    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Before and after, over all items or those of one kind. Shares are those of items that are right."""

    kind: str  # one of `KINDS`, or `ALL`
    n: int
    before: float
    after: float
    difference: Measure  # after minus before, a share, paired over items
    margin: Measure  # mean change of the margin, nats, over items with choices; None where there are none


@dataclass(frozen=True, slots=True)
class Changed:
    """An item that is right only before or only after."""

    item: str
    kind: str
    prompt: str
    expected: str  # the right answer, or the rule as JSON
    before: str  # what the model answered
    after: str


@dataclass(frozen=True, slots=True)
class Suite:
    """What tuning did to the general abilities of a base. `kinds` has those that were scored."""

    overall: Part
    kinds: tuple[Part, ...]
    regressed: tuple[Changed, ...]  # right before, wrong after
    gained: tuple[Changed, ...]  # wrong before, right after


@cache
def items() -> tuple[Item, ...]:
    """All items: kind by kind, and within a kind mixed, so that its first ones stand for all of it."""
    text = (files("rung.evaluation") / "general_suite.jsonl").read_text(encoding="utf-8")
    return tuple(from_json(Item, json.loads(line)) for line in text.splitlines())


def chosen(limit: int | None = None) -> tuple[Item, ...]:
    """The first `limit` items of each kind; all for None. Raises `UsageError` for a limit below 1."""
    if limit is None:
        return items()
    if limit < 1:
        raise UsageError(f"{limit} items of each kind cannot be scored", fix="Give 1 or more")
    return tuple(item for kind in KINDS for item in [i for i in items() if i.kind == kind][:limit])


def score(engine: Engine, renderer: Renderer, limit: int | None = None) -> Scored:
    """How the engine's base, with the adapter that is on, does on `chosen(limit)`.

    What items begin with is read once: the opening of the chat by all of them, a question by its answers.
    Raises `UsageError` for a limit below 1, `DataError` where an item does not fit into the base's context,
    `BaseModelError` where logits are not finite.
    """
    some = chosen(limit)
    written = [item for item in some if item.rule]
    found = {one.item: one for one in _by_likelihood(engine, renderer, [i for i in some if not i.rule])}
    found |= {one.item: one for one in _by_writing(engine, renderer, written)}
    return Scored(tuple(found[item.id] for item in some))


def _by_likelihood(engine: Engine, renderer: Renderer, some: Sequence[Item]) -> list[Outcome]:
    from rung.generate.continuations import continuations, text_row

    rows: list[tuple[Sequence[int], Sequence[int]]] = []
    for item in some:
        choices = (item.right, *item.wrong)
        if item.kind == "grammar":
            rows += [text_row(engine.base, choice) for choice in choices]
        else:
            prompt = renderer.prompt_ids([Message("user", item.prompt)])
            rows += [(prompt, renderer.completion_ids(choice)) for choice in choices]
    logs = continuations(engine, rows).logs.tolist()
    found, at = [], 0
    for item in some:
        right, *wrong = logs[at : at + 1 + len(item.wrong)]
        at += 1 + len(wrong)
        margin = right - max(wrong)
        answer = item.right if margin > 0 else item.wrong[wrong.index(max(wrong))]
        found.append(Outcome(item.id, margin > 0, answer, margin))
    return found


def _by_writing(engine: Engine, renderer: Renderer, some: Sequence[Item]) -> list[Outcome]:
    if not some:
        return []
    prompts = [renderer.prompt_ids([Message("user", item.prompt)]) for item in some]
    answers = engine.generate(prompts, max_new_tokens=NEW_TOKENS, stop_ids=renderer.stop_ids)
    texts = [renderer.decode(one.ids).strip() for one in answers]
    return [Outcome(item.id, follows(item.rule, text), text) for item, text in zip(some, texts, strict=True)]


def compare(before: Scored, after: Scored, seed: int = 0) -> Suite:
    """What changed between two scores of the same items, with 95 % intervals.

    They are of the paired bootstrap over items (`stats.paired_difference`), which says how far the items
    may stand for others like them. `seed` draws its samples.
    Raises `UsageError` where the items are not the same or there are none, `RungError` where a margin is not
    finite.
    """
    if not before.outcomes or [o.item for o in before.outcomes] != [o.item for o in after.outcomes]:
        raise UsageError(
            "two scores of the suite can be compared only over the same items",
            why=f"the first has {len(before.outcomes)} and the second {len(after.outcomes)}",
            fix="Score both with the same limit",
        )
    by_id = {item.id: item for item in items()}
    if unknown := [one.item for one in before.outcomes if one.item not in by_id]:
        raise UsageError(f"the suite has no item {unknown[0]!r}", fix="Score both with this version of rung")
    pairs = [(by_id[a.item], a, b) for a, b in zip(before.outcomes, after.outcomes, strict=True)]
    parts = {kind: [pair for pair in pairs if pair[0].kind == kind] for kind in KINDS}
    return Suite(
        overall=_part(ALL, pairs, seed),
        kinds=tuple(_part(kind, some, seed) for kind, some in parts.items() if some),
        regressed=tuple(_changed(*pair) for pair in pairs if pair[1].right and not pair[2].right),
        gained=tuple(_changed(*pair) for pair in pairs if pair[2].right and not pair[1].right),
    )


def _part(kind: str, pairs: Sequence[tuple[Item, Outcome, Outcome]], seed: int) -> Part:
    was, now = [float(a.right) for _, a, _ in pairs], [float(b.right) for _, _, b in pairs]
    margins = [(a.margin, b.margin) for _, a, b in pairs if a.margin is not None and b.margin is not None]
    return Part(
        kind=kind,
        n=len(pairs),
        before=sum(was) / len(was),
        after=sum(now) / len(now),
        difference=_difference("right", was, now, seed, ""),
        margin=_difference("margin", [a for a, _ in margins], [b for _, b in margins], seed, "nats"),
    )


def _difference(name: str, was: Sequence[float], now: Sequence[float], seed: int, unit: str) -> Measure:
    """Mean of now minus was."""
    if not was:
        return Measure(name, None, unit=unit, note="no items with choices")
    if not all(math.isfinite(value) for value in (*was, *now)):
        raise RungError(
            "the model or its base gives probabilities that are not finite: the suite cannot be compared",
            fix="Train again with a lower learning rate, or in float32",
        )
    found = paired_difference(mean_rows(now), mean_rows(was), mean_of, seed)
    return Measure(name, found.value, found.low, found.high, found.n, unit=unit, note="after minus before")


def _changed(item: Item, before: Outcome, after: Outcome) -> Changed:
    expected = json.dumps(item.rule, ensure_ascii=False) if item.rule else item.right
    return Changed(item.id, item.kind, item.prompt, expected, before.answer, after.answer)
