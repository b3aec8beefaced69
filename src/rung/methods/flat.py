"""Tensors that lie one after the other in one vector, so that a few long operations change all of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def joined(tensors: Sequence[Tensor]) -> Tensor | None:
    """The vector (all numbers,) that `tensors` are the parts of, in their order; None where there is none."""
    first = tensors[0].detach()
    end = first.data_ptr()
    for tensor in tensors:
        same = tensor.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        if not same or tensor.dtype != first.dtype or tensor.data_ptr() != end or not tensor.is_contiguous():
            return None
        end += tensor.nbytes
    return first.as_strided((sum(tensor.numel() for tensor in tensors),), (1,))


def join(tensors: Sequence[Tensor]) -> Tensor:
    """Move `tensors`, all of one number format, into one vector, which is returned, unless they are in one.

    Each is moved alone, so that its old memory is free before the last one needs room.
    """
    if (vector := joined(tensors)) is not None:
        return vector
    vector = torch.empty(
        sum(tensor.numel() for tensor in tensors), dtype=tensors[0].dtype, device=tensors[0].device
    )
    for tensor, part in zip(tensors, parts(vector, tensors), strict=True):
        part.copy_(tensor.detach())
        tensor.data = part
    return vector


def parts(vector: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Views of `vector`, one after the other, in the shapes of `tensors`."""
    pieces = torch.split(vector, [tensor.numel() for tensor in tensors])
    return [piece.view(tensor.shape) for piece, tensor in zip(pieces, tensors, strict=True)]
