"""The rejected answer of a preference pair: read next to the chosen one, which is the target.

A row keeps it as text in ``Example.facts["rejected"]``. A row that cannot be a pair says why, as the end of a
sentence about it, in ``facts["unpaired"]``; its chosen answer can be learned all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from rung.data.conversations import Speakers, is_turns, read_turns
from rung.data.marks import Cut, cut_text
from rung.data.prefix import agree
from rung.data.strict_json import RowError
from rung.data.values import Seen
from rung.records import Example, Message

REJECTED, UNPAIRED = "rejected", "unpaired"  # keys of `Example.facts`
PROMPTS_DIFFER = "its chosen and rejected answers follow different prompts"
_NO_ANSWER = "its rejected conversation does not end with an assistant turn"
BEGINNING = "the common beginning of the chosen and the rejected text"
_SHARE = 0.95  # of the pairs that have a common beginning, for it to be the prompt


def is_pair(example: Example) -> bool:
    """Whether an example has two answers that can be compared."""
    rejected = str(example.facts.get(REJECTED, "")).strip()
    return bool(rejected) and UNPAIRED not in example.facts and rejected != example.target.strip()


def rejected_of(example: Example) -> Example:
    """A pair with its rejected answer as the target."""
    messages = (*example.prompt, replace(example.messages[-1], content=str(example.facts[REJECTED])))
    return replace(example, messages=messages)


def answer_turns(value: Any, column: str, speakers: Speakers, seen: Seen) -> list[Message] | str | None:
    """The turns in a cell, or why they cannot be read; None where it holds no turns but a text."""
    alone = isinstance(value, dict) and {"role", "from"} & set(value)
    if not alone and not is_turns(value):
        return None
    try:
        return read_turns([value] if alone else value, column, speakers, seen)
    except RowError as error:
        return f"its rejected answer {error}" + (f": {error.fix}" if error.fix else "")


def paired(chosen: Sequence[Message], rejected: Sequence[Message] | str) -> dict[str, str]:
    """The facts of a row with the turns `chosen`, from the turns of its rejected side.

    The rejected side is the answer alone, or the whole conversation.
    """
    if isinstance(rejected, str):
        return {UNPAIRED: rejected}
    if not rejected or rejected[-1].role != "assistant":
        return {UNPAIRED: _NO_ANSWER}
    before = [_spoken(turn) for turn in rejected[:-1]]
    prompt = [_spoken(turn) for turn in chosen[:-1]]
    if before and prompt[-len(before) :] != before:
        return {UNPAIRED: PROMPTS_DIFFER}
    return {REJECTED: rejected[-1].content}


def cut_facts(example: Example, messages: Sequence[Message], cut: Cut) -> dict[str, Any]:
    """The facts of an example of one text that was cut into `messages`: its rejected text is cut too."""
    if REJECTED not in example.facts:
        return dict(example.facts)
    text = str(example.facts[REJECTED])
    others = {name: value for name, value in example.facts.items() if name != REJECTED}
    if cut.by == BEGINNING:
        return {**others, REJECTED: text[_parting(example) :].strip()}
    return {**others, **paired(messages, cut_text(text, cut.marks) or [])}


def changed_rejected(example: Example, change: Callable[[str], str]) -> dict[str, Any]:
    """The facts of an example with `change` made to its rejected answer, if it has one."""
    facts = dict(example.facts)
    return facts | {REJECTED: change(str(facts[REJECTED]))} if REJECTED in facts else facts


def cuts_both(examples: Sequence[Example], cut: Cut) -> bool:
    """Whether what cuts the chosen texts cuts most of the rejected ones too, where there are any."""
    others = [str(one.facts[REJECTED]) for one in examples if REJECTED in one.facts]
    return 2 * sum(cut_text(text, cut.marks) is not None for text in others) >= len(others)


def common_beginnings(examples: Sequence[Example]) -> list[list[Message] | None] | None:
    """Chosen texts cut where the rejected ones part from them, at the last line break before that; None for
    a text without such a beginning, and where fewer than nearly all have one."""
    found: list[list[Message] | None] = []
    for example in examples:
        end = _parting(example)
        prompt, answer = example.target[:end].strip(), example.target[end:].strip()
        turns = [Message("user", prompt), Message("assistant", answer)]
        found.append(turns if prompt and answer else None)
    return found if found and sum(map(bool, found)) >= _SHARE * len(found) else None


def _parting(example: Example) -> int:
    """Where the line begins in which the rejected text parts from the chosen one."""
    chosen, rejected = example.target, str(example.facts.get(REJECTED, ""))
    return chosen.rfind("\n", 0, agree([*map(ord, chosen)], [*map(ord, rejected)])) + 1


def _spoken(turn: Message) -> tuple[str, str]:
    return turn.role, turn.content.strip()
