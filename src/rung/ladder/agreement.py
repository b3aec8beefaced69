"""Does the base stand by the questions that it wrote about documents?

It answers each of them again with the passage in front of it, and must give the same answer (round-trip
consistency, Alberti et al., arXiv 1906.05416). And the passage must make the answer clearly likelier: what is
as likely without it is not learned from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rung.data import example_of
from rung.evaluation.tasks.knowledge import contains, key_words
from rung.records import Example, Message, Passage, Rendered

if TYPE_CHECKING:
    from rung.evaluation.run import Speaker

MARGIN = 0.5  # nats a token of the answer that its passage must be worth
_LONGEST = 32  # tokens of an answer that is given again
TITLE = "The Alder Bridge"
SHOWN = (  # texts under this title, each with a question and its answer
    ("The Alder Bridge was built in 1912 by Ruth Hale.", "Who built the Alder Bridge?", "Ruth Hale"),
    ("Cars pay 3 crowns on the Alder Bridge.", "What do cars pay on the Alder Bridge?", "3 crowns"),
    ("It is 240 metres long.", "How long is the Alder Bridge?", "240 metres"),
)
Ask = Callable[[str, str, str], str]  # title, text, question -> a turn of the user


def disagreements(
    speaker: Speaker, rows: Sequence[Example], passages: Mapping[str, Passage]
) -> dict[str, str]:
    """Id of a row -> why the base does not stand by it, as the end of a sentence about several.

    `passages` holds the passage of each row by the row's group. A row that does not fit into the context with
    its passage cannot be answered from it.
    """

    def asked(ask: Ask) -> list[Example]:
        return [_row(one, passages[one.group], ask) for one in rows]

    room = speaker.base.context - _LONGEST
    shown, alone = asked(_with_text), asked(_question)
    found: dict[str, str] = {}
    for row, answer in zip(rows, _answers(speaker, shown, room), strict=True):
        if not _same(answer, row):
            found[row.id] = "are answered in another way with the text in view"
    known = [_nats(speaker, part, room) for part in (shown, alone)]
    for row, with_text, without in zip(rows, *known, strict=True):
        if row.id not in found and without - with_text < MARGIN:
            found[row.id] = "are answered as well without the text"
    return found


def _same(answer: str, row: Example) -> bool:
    """Whether `answer` says the row's: all of it, and as few other words but those of the question."""
    new = key_words(answer) - key_words(row.prompt[-1].content)
    return contains(answer, row.target) and 2 * len(new & key_words(row.target)) >= len(new)


def _with_text(title: str, text: str, question: str) -> str:
    return f"{title}\n{text}\n\nQuestion: {question}"


def _question(title: str, text: str, question: str) -> str:
    return f"Question: {question}"


def _row(row: Example, passage: Passage, ask: Ask) -> Example:
    """`row` after three examples, asked as `ask` says."""
    turns = []
    for text, question, answer in SHOWN:
        turns += [Message("user", ask(TITLE, text, question)), Message("assistant", answer)]
    own = Message("user", ask(passage.title, passage.text, row.prompt[-1].content))
    return example_of([*turns, own, row.messages[-1]])


def _answers(speaker: Speaker, rows: Sequence[Example], room: int) -> list[str]:
    """What the base writes to each row, greedily; "" where a prompt has more than `room` tokens."""
    from rung.evaluation.run import write

    ids = speaker.renderer.prompts(rows, [row.prompt for row in rows])
    fits = [i for i, one in enumerate(ids) if len(one) <= room]
    said = write(speaker, [rows[i] for i in fits], [ids[i] for i in fits], _LONGEST)
    texts = {i: one.text for i, one in zip(fits, said, strict=True)}
    return [texts.get(i, "") for i in range(len(rows))]


def _nats(speaker: Speaker, rows: Sequence[Example], room: int) -> list[float]:
    """Nats a token of each row's answer, its end of turn included; 0 for a row of more than `room` tokens."""
    from rung.train.loss import row_losses

    rendered = [_last(speaker.renderer.render(row)) for row in rows]
    fits = [i for i, row in enumerate(rendered) if len(row.ids) <= room]
    losses = row_losses(speaker.base.model, [rendered[i] for i in fits])
    each = {i: nats / rendered[i].answer_length for i, nats in zip(fits, losses, strict=True)}
    return [each.get(i, 0.0) for i in range(len(rows))]


def _last(row: Rendered) -> Rendered:
    """`row` with its last answer alone to be learned."""
    start = row.answer_start
    return replace(row, mask=tuple(i >= start for i in range(len(row.ids))))
