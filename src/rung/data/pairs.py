"""A preference pair as tokens: the chosen answer after its prompt, next to the rejected one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rung.data.prefix import agree
from rung.records import Rendered


@dataclass(frozen=True, slots=True)
class Pair(Rendered):
    """The prompt with the chosen answer; `other` is the same prompt with the rejected one. The masks are true
    on the tokens of the answers."""

    other: Rendered = field(kw_only=True)


def pair(chosen: Rendered, rejected: Rendered) -> Pair:
    """Of two rows of one prompt, the last answers alone."""
    one, two = _answer_alone(chosen), _answer_alone(rejected)
    return Pair(one.example_id, one.ids, one.mask, other=two)


def size(row: Rendered) -> int:
    """Tokens that a pass over `row` alone computes: of a pair, what both answers begin with once."""
    if not isinstance(row, Pair):
        return len(row.ids)
    return len(row.ids) + len(row.other.ids) - agree(row.ids, row.other.ids)


def pair_rows(rows: Sequence[Rendered]) -> list[Pair]:
    """`rows`, which have to be pairs. Raises `ValueError` for any other."""
    pairs = [row for row in rows if isinstance(row, Pair)]
    if len(pairs) < len(rows):
        raise ValueError("a row without a rejected answer")
    return pairs


def texts(rows: Sequence[Rendered]) -> list[Rendered]:
    """What a pass over `rows` reads: the rows, then the rejected answers of those that are pairs."""
    return [*rows, *(row.other for row in rows if isinstance(row, Pair))]


def _answer_alone(row: Rendered) -> Rendered:
    start = row.answer_start
    mask = tuple(place >= start for place in range(len(row.ids)))
    return Rendered(row.example_id, row.ids, mask)
