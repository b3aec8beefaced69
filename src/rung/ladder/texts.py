"""The text of documents as rows to train on: next-token loss over all tokens, outside of any conversation.

Each row is a piece of one document of a few hundred tokens, so that several fit into a pack; it begins with
the headings above it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from rung.data.templates import Renderer
from rung.ladder.label_rows import rows_for
from rung.methods import METHODS
from rung.records import Example, Passage, Rendered

if TYPE_CHECKING:
    from rung.ladder.prepare import Prepared

PIECE = 256  # tokens of a row, about


def text_rows(renderer: Renderer, passages: Sequence[Passage], max_length: int) -> tuple[Rendered, ...]:
    """The passages of each document as rows of at most `PIECE` tokens, and at most `max_length`.

    A passage that is longer than that is cut into rows of nearly equal length. The first token of a row,
    before which there is nothing, is not learned; every other one is.
    """
    most = max(2, min(PIECE, max_length))
    found = [
        piece
        for _, document in groupby(passages, key=lambda passage: passage.source)
        for piece in _pieces(renderer, list(document), most)
    ]
    return tuple(_row(ids) for ids in dict.fromkeys(found) if len(ids) > 1)


def text_row(renderer: Renderer, example: Example) -> Rendered:
    """A row that is a piece of a document (`rung.data.split.is_text`): all its tokens but the first are
    learned, outside of any conversation."""
    ids = renderer.text_ids(example.target)
    return Rendered(example.id, tuple(ids), (False, *[True] * (len(ids) - 1)))


def train_rows(prepared: Prepared, method: str, examples: Sequence[Example]) -> list[Rendered]:
    """What `method` is trained on: `examples`, some or all of train, and the same share of the texts.

    The texts stand between the rows, so that the beginning of the list is a fair sample of it. A head that
    learns labels learns no texts.
    """
    rows = rows_for(prepared, method, examples)
    if not prepared.texts or METHODS.classifies(method):
        return rows
    share = min(1.0, len(examples) / max(1, len(prepared.split.train)))
    texts = sorted(prepared.texts, key=lambda text: text.example_id)[: round(share * len(prepared.texts))]
    places = [((i + 0.5) / len(part), row) for part in (rows, texts) for i, row in enumerate(part)]
    return [row for _, row in sorted(places, key=lambda placed: placed[0])]


def _pieces(renderer: Renderer, passages: Sequence[Passage], most: int) -> Iterator[tuple[int, ...]]:
    """Ids of the rows of one document: passages one after the other, as many as fit."""
    held: list[Passage] = []
    for passage in passages:
        if held and len(_ids(renderer, [*held, passage])) > most:
            yield from _cut(_ids(renderer, held), most)
            held = []
        held.append(passage)
    if held:
        yield from _cut(_ids(renderer, held), most)


def _ids(renderer: Renderer, passages: Sequence[Passage]) -> list[int]:
    """Ids of passages with a blank line between them, each title before the first passage that has it."""
    parts, title = list[str](), ""
    for passage in passages:
        if passage.title != title:
            title = passage.title
            parts.append(title)
        parts.append(passage.text)
    return renderer.text_ids("\n\n".join(part for part in parts if part))


def _cut(ids: Sequence[int], most: int) -> list[tuple[int, ...]]:
    """`ids` in as few pieces as `most` allows, of nearly equal length."""
    pieces = -(-len(ids) // most)
    edges = [len(ids) * i // max(1, pieces) for i in range(pieces + 1)]
    return [tuple(ids[start:stop]) for start, stop in pairwise(edges)]


def _row(ids: tuple[int, ...]) -> Rendered:
    mark = hashlib.sha256(b"".join(token.to_bytes(4) for token in ids)).hexdigest()[:16]
    return Rendered(f"text-{mark}", ids, (False, *[True] * (len(ids) - 1)))
