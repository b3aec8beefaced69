"""What an adapter does at a linear layer: something before it, something after it, or both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from torch import Tensor, nn

from rung.compute.by_row import ByRow
from rung.compute.linears import Linear, product


class Update(Protocol):
    """What changes of one kind add to a joint product; it works on plain tensors, outside of autograd."""

    @property
    def leaves(self) -> tuple[nn.Parameter, ...]:
        """What is trained, in a fixed order."""
        ...

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Add to y (T, out), in place, what belongs to x (T, in)."""
        ...

    def backward(self, x: Tensor, dy: Tensor, dx: Tensor | None) -> tuple[Tensor, ...]:
        """Gradients of the leaves; adds to dx (T, in), in place, where it is given."""
        ...


class OfRows(Protocol):
    """The updates of several slots to a joint product."""

    def forward(self, x: Tensor, y: Tensor, rows: ByRow) -> None:
        """Add to each row of y (T, out), in place, what its own slot makes of its row of x (T, in)."""
        ...


class Change(nn.Module):
    """What an adapter does at one linear layer. Its gradients come from autograd unless it has its own."""

    def before(self, x: Tensor) -> Tensor:
        """What the layer reads in place of x (..., in)."""
        return x

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        """What leaves the layer in place of its output y (..., out); x (..., in) came into `before`."""
        return y

    def run(self, base: Linear, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out) through the frozen layer `base`."""
        return self.after(x, product(base, self.before(x)))

    @staticmethod
    def joint(changes: Sequence[Change | None], sizes: Sequence[int]) -> Update | None:
        """The changes of layers that read the same input, with so many outputs, as one; None if they are not
        sums that can be formed together."""
        return None

    @staticmethod
    def of_rows(updates: Sequence[Update | None]) -> OfRows | None:
        """The joint updates of several slots as one, for passes whose rows use different slots; None to form
        them one after the other."""
        return None

    def merged(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Weight (out, in) and bias (out,) of a plain layer that computes the same, in fp32 or wider."""
        raise NotImplementedError(f"{type(self).__name__} cannot be merged")


def kind_of(changes: Iterable[Change | None]) -> type[Change]:
    """The class whose `joint` and `of_rows` take these changes: their own if it is one, else `Change`."""
    kinds = {type(change) for change in changes if change is not None}
    return kinds.pop() if len(kinds) == 1 else Change
