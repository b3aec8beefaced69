"""Which slot each token's row uses."""

from __future__ import annotations

import pytest
import torch

from rung.compute import by_row
from rung.compute.by_row import ByRow


def three_rows() -> ByRow:
    return ByRow.spread(["a", "b"], ["b", None, "a"], [2, 1, 3], "cpu")


def test_the_slot_of_a_row_is_that_of_its_tokens() -> None:
    rows = three_rows()
    assert rows.slots == ("a", "b")
    assert rows.of.tolist() == [1, 1, -1, 0, 0, 0]
    assert [rows.of_slot(place).tolist() for place in (0, 1, -1)] == [[3, 4, 5], [0, 1], [2]]
    assert rows.chosen(torch.tensor([5, 0])).of.tolist() == [0, 1]


def test_columns_of_other_slots() -> None:
    rows = three_rows().chosen(torch.tensor([0, 2, 3]))
    assert rows.others((0, 1, 1)).tolist() == [[True, False, False], [True, True, True], [False, True, True]]
    assert rows.others((0, 1, 1)) is rows.others((0, 1, 1))


def test_it_holds_for_one_pass_and_can_be_narrowed_in_it() -> None:
    assert by_row.now() is None
    by_row.narrow(torch.tensor([0]))
    rows = three_rows()
    with torch.no_grad(), by_row.using(rows):
        assert by_row.now() is rows
        by_row.narrow(torch.tensor([2]))
        narrowed = by_row.now()
        assert narrowed is not None
        assert narrowed.of.tolist() == [-1]
        with by_row.using(None):
            assert by_row.now() is None
    assert by_row.now() is None


def test_gradients_are_refused() -> None:
    with pytest.raises(ValueError, match="gradients"), by_row.using(three_rows()):
        pass
