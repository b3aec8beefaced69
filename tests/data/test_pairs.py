"""Pairs as tokens: the answers alone are learned, and what both share is counted once."""

from __future__ import annotations

import pytest

from preferring import row_of
from rung.data.pairs import Pair, pair, pair_rows, size, texts
from rung.records import Rendered

PROMPT = tuple(range(10, 20))
CHOSEN, REJECTED = row_of("a", PROMPT, (3, 4, 5)), row_of("a", PROMPT, (3, 9))


def test_a_pair_is_the_chosen_row_next_to_the_rejected_one() -> None:
    one = pair(CHOSEN, REJECTED)
    assert (one.example_id, one.ids, one.mask) == ("a", CHOSEN.ids, CHOSEN.mask)
    assert (one.other.ids, one.other.mask) == (REJECTED.ids, REJECTED.mask)


def test_earlier_answers_of_a_conversation_are_not_learned() -> None:
    mask = (False, True, True, *CHOSEN.mask[3:])
    assert pair(Rendered("a", CHOSEN.ids, mask), REJECTED).mask == CHOSEN.mask


def test_what_both_begin_with_is_counted_once() -> None:
    assert size(pair(CHOSEN, REJECTED)) == 10 + 1 + 2 + 1
    assert size(CHOSEN) == 13


def test_a_pass_reads_the_chosen_answers_and_then_the_others() -> None:
    one = pair(CHOSEN, REJECTED)
    assert texts([one, CHOSEN, one]) == [one, CHOSEN, one, one.other, one.other]


def test_other_rows_are_no_pairs() -> None:
    assert pair_rows([pair(CHOSEN, REJECTED)]) == [Pair("a", CHOSEN.ids, CHOSEN.mask, other=REJECTED)]
    with pytest.raises(ValueError, match="without a rejected answer"):
        pair_rows([CHOSEN])
