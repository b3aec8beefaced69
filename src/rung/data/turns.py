"""What a chat template made of each turn: where its text is, and whether words were lost.

Templates drop turns without saying so: tool turns, a system turn, an answer followed by another. A row that
loses words this way is refused. Two losses are meant, in training as in use. Many templates leave out the
thoughts of earlier answers (``<think>...</think>``): such an answer is shown but not learned, or the model
would learn to answer without thinking. And some take out a word that switches thinking (``/no_think``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rung.data.traced import Span, plain, spans
from rung.errors import DataError, TurnsError
from rung.records import Message

_TAG = r"[\w:]*(?:think|thought|reason)\w*"
_THOUGHTS = re.compile(
    rf"<({_TAG})>.*?</\1>|\A(?:(?!<{_TAG}>).)*?</{_TAG}>|<\|channel>.*?<channel\|>|\[THINK\].*?\[/THINK\]",
    re.DOTALL,
)
_SWITCH = re.compile(r"/(?:no_?)?think\b")
_SHOWN = 5  # rows named for one reason
_REASONS = 3  # in one error

Stretch = tuple[int, int]  # characters from the first to before the second


def locate(text: str, messages: Sequence[Message]) -> list[Stretch | None]:
    """Where the text of each message is in `text`; None where it is there in other words.

    `text` is what a template wrote from `messages`, each traced by its number from 0 on. Raises `TurnsError`
    for the first message that lost words which are no thoughts of an answer and no switch.
    """
    written: list[list[Span]] = [[] for _ in messages]
    for span in spans(text):
        written[span.source].append(span)
    words = plain(text)
    return [_place(words, written[i], message, i + 1) for i, message in enumerate(messages)]


def refusal(errors: Sequence[TurnsError]) -> DataError:
    """One error for all rows of one or more files that a chat template cannot write; equal reasons once."""
    rows: dict[tuple[str, str], list[int]] = {}
    for error in errors:
        rows.setdefault((error.where, error.reason), []).append(error.row)
    files = list(dict.fromkeys(where for where, _ in rows))
    said = [
        f"{f'{where}: ' if len(files) > 1 else ''}{_numbers(numbers)}: {reason}"
        for (where, reason), numbers in rows.items()
    ]
    rest = sum(len(numbers) for numbers in list(rows.values())[_REASONS:])
    what = "; ".join(said[:_REASONS]) + (f"; and {rest} more row{'s' * (rest > 1)}" if rest else "")
    return DataError(what, where=files[0] if len(files) == 1 else "", fix=errors[0].fix)


def _place(words: str, written: Sequence[Span], message: Message, turn: int) -> Stretch | None:
    content = message.content
    core = content.strip()
    indent = content.index(core)
    for span in written:
        if span.first <= indent and indent + len(core) <= span.last:
            return span.start, span.end
    if not core:
        return None
    gaps, kept, at = list[tuple[int, int, str]](), list[Span](), 0
    for span in written:
        if span.first >= at:  # else the template writes this part a second time
            gaps.append((at, span.first, words[kept[-1].end : span.start] if kept else ""))
            kept.append(span)
            at = span.last
    gaps.append((at, len(content), ""))
    patterns = [_SWITCH, _THOUGHTS] if message.role == "assistant" else [_SWITCH]
    meant = [match.span() for pattern in patterns for match in pattern.finditer(content)]
    if any(_unmeant(content, gap, meant) for gap in gaps):
        raise TurnsError(
            f"the chat template {'changes' if kept else 'drops'} the text of turn {turn} ({message.role})",
            fix="Leave such turns out of the data, or use a base whose chat template writes them",
        )
    if not kept:
        return None
    start = kept[0].start + indent - kept[0].first
    if start < 0 or words[start : start + len(core)] != core:
        return None
    return min(start, kept[0].start), max(start + len(core), kept[-1].end)


def _unmeant(content: str, gap: tuple[int, int, str], meant: Sequence[Stretch]) -> bool:
    """Whether a gap lost words, or got words that the message does not have, where that is not `meant`."""
    first, last, inserted = gap
    missing = any(
        not content[i].isspace() and not any(a <= i < b for a, b in meant) for i in range(first, last)
    )
    return missing or (inserted.strip() != "" and not any(a <= last and first <= b for a, b in meant))


def _numbers(rows: Sequence[int]) -> str:
    """``row 7``, ``rows 1 to 5 and 19 more``, ``rows 2, 5 and 9``."""
    rows = sorted(rows)
    if len(rows) == 1:
        return f"row {rows[0]}"
    shown, rest = rows[:_SHOWN], len(rows) - _SHOWN
    if len(shown) > 2 and shown[-1] - shown[0] == len(shown) - 1:
        named = f"{shown[0]} to {shown[-1]}"
    elif rest > 0:
        named = ", ".join(map(str, shown))
    else:
        named = f"{', '.join(map(str, shown[:-1]))} and {shown[-1]}"
    return f"rows {named}" + (f" and {rest} more" if rest > 0 else "")
