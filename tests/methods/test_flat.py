"""Tensors in one vector: which are in one already, and moving those that are not."""

from __future__ import annotations

import torch
from torch import nn

from rung.methods import flat


def test_tensors_are_moved_into_one_vector_and_keep_their_values() -> None:
    first, second = nn.Parameter(torch.arange(6.0).view(2, 3)), nn.Parameter(torch.arange(4.0))
    vector = flat.join([first, second])
    assert vector.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3]
    vector[0] = 7
    vector[6] = 8
    assert (first.tolist()[0][0], second.tolist()[0]) == (7, 8)


def test_those_in_one_vector_stay_where_they_are() -> None:
    tensors = [nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.zeros(3))]
    vector = flat.join(tensors)
    again = flat.join(tensors)
    assert again.data_ptr() == vector.data_ptr()
    assert again.tolist() == vector.tolist()


def test_a_gap_another_order_and_another_format_are_no_vector() -> None:
    whole = torch.arange(10.0)
    assert flat.joined([whole[:4], whole[4:]]) is not None
    assert flat.joined([whole[:4], whole[5:]]) is None
    assert flat.joined([whole[4:], whole[:4]]) is None
    assert flat.joined([whole[:4], whole[4:].clone()]) is None
    assert flat.joined([whole[:4], whole[4:].view(torch.int32)]) is None
    assert flat.joined([whole[::2]]) is None


def test_parts_have_the_shapes_of_the_tensors() -> None:
    like = [torch.empty(2, 3), torch.empty(0), torch.empty(4)]
    made = flat.parts(torch.arange(10.0), like)
    assert [one.shape for one in made] == [one.shape for one in like]
    assert made[2].tolist() == [6, 7, 8, 9]
